"""Q-networks: from an observation to the value of every action."""
