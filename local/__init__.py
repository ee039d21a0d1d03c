"""The stack on a developer's machine. Nothing here is imported by the product, and nothing is deployed."""
