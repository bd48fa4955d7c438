"""One trial without Ray: a configuration becomes a record."""
