"""A small Functions host. README.md lists what it does as Azure's host does it, and what not."""
