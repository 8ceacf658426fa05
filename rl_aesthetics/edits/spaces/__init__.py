"""The three kinds of edit spaces; `edits.space` says what they have in common and makes them."""
