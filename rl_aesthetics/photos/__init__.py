"""Photos: read, reduced, measured and written."""
