"""Training, from a configuration to an agent file."""
