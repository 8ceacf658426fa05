"""Many trainings with other settings each, on Ray Tune."""
