"""A task's rows: read, cleaned, split and cut to budgets."""
