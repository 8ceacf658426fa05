"""The trained agent edits a user's photos."""
