"""The cost of model calls: ledger, spending, budgets, and the admission of new generations."""
