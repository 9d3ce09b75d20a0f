"""Runs and sweeps read back: statistics, tables, figures and a page."""
