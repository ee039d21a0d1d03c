"""From a string in `images` to a checked image."""
