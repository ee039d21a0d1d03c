"""The domain: one generation from its request to its end."""
