"""The learner: RLlib module and learner, and the algorithms that overlap sampling and learning."""
