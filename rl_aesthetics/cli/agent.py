"""`evaluate` and `enhance`: what a trained agent does."""
