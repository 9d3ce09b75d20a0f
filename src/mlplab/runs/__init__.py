"""The run folder: claimed, described, checkpointed and read back."""
