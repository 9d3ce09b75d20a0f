"""Side studies, each with its own mathematics and pictures."""
