"""The mathematics: pure functions, free of frameworks above torch."""
