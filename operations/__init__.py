"""Commands for whoever runs this: against the local stack, or against Azure with the app's own settings."""
