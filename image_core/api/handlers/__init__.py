"""The handlers. Each answers one route."""
