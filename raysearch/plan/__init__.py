"""Plans: tasks, ladders, spaces, studies and trial configurations. Data only."""
