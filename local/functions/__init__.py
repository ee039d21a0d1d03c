"""A small Functions host: what Azure's own does with a `function_app.py`, as far as this project uses it."""
