"""Money: ledger entries, spending, budgets and admission."""
