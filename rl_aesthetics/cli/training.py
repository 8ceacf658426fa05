"""`train` and `demo`."""
