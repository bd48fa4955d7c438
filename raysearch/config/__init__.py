"""Plans as data: tasks, the ladder, search spaces, studies and trial configurations."""
