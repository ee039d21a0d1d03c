"""A local Azure Functions host that serves `function_app.py` unchanged. README.md lists how it differs from Azure's host."""
