"""How well an agent edits photos that it has not seen."""
