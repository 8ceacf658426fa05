"""Trained agents as files, and the packaged ones."""
