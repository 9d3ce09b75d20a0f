"""Sweeps: launchers, executors, resuming and the table."""
