"""Searches: Optuna asks for jobs, batch by batch."""
