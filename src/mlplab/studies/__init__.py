"""What a script calls: one module a study."""
