"""Everything that turns pixels into a score: jurors, batching, the HTTP service, training of small jurors."""
