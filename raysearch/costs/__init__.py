"""FLOPs and memory by closed form, and timing."""
