"""Who scores, and scores that are known."""
