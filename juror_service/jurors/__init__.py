"""The jurors, a file each, and their registry."""
