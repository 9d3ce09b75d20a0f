"""Configs: composed, checked, and read back; errors in one line."""
