"""Transitions, and the buffers that they are replayed from."""
