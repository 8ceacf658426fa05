"""MLflow: what is told, kept until it is delivered, and where a run comes from."""
