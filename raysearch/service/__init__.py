"""HTTP for programs: studies of several people on one Ray cluster, as Ray Jobs."""
