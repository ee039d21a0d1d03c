"""Why does it not work? Each part of a configuration or a deployment is looked at by itself, and says what mends it."""
