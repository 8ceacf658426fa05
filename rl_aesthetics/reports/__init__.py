"""Reports for people: charts, pictures and pages of trainings and evaluations."""
