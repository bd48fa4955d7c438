"""One trial, without Ray: a configuration becomes a record. May call, may not compute."""
