"""Operators' commands: `doctor` finds faults, `usage` sums up the ledger, `reconcile` compares images with records."""
