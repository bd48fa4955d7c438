"""A run's folder: its paths, its lock and the study as it ran."""
