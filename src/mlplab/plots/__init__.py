"""Arrays to figures, in one style."""
