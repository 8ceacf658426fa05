"""Edits: what each does to pixels, what a sequence amounts to, and what an agent sees of it."""
