"""Approximation by ReLUs: mathematics, pictures and study."""
