"""One generation from its request to its end."""
