"""Load the inputs of a request: from a string in `images` to a checked image."""
