"""Workers that run episodes: to learn from, and to validate."""
