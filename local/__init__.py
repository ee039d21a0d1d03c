"""The stack on a developer's machine. The product imports nothing of it, and none of it is deployed.

`stack` (make run) and `demo` (make demo) start everything: the `emulators` of Azure's services, the fake `gemini`, the
`functions_host` and the `front`. `config` decides what is started and where; `existing_services` finds what already
runs.
"""
