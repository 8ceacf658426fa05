"""`rl-aesthetics juror …`: list, score, train, distil, serve, bench."""
