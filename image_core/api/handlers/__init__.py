"""One handler for each route."""
