"""Jurors as Ray actors, and the scorers that ask them."""
