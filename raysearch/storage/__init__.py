"""Content-addressed store, remote storage, checkpoints and the hub."""
