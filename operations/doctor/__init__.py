"""Check a configuration or a deployment part by part, and say for each fault what fixes it.

`checks` runs all checks of an environment; `configuration`, `storage`, `database`, `model` and `session` check one part
each, `deployment` checks a deployment from outside.
"""
