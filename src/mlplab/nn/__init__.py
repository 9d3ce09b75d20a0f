"""Networks and losses: ordinary modules and pure functions."""
