"""Arrays and weights to self-contained HTML pages."""
