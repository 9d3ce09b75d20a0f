"""The one error that is meant for a person: a line, without a traceback, exit code 2."""


class InputError(ValueError):
    """Say in one line what was wrong, what is allowed, what was given and where to change it."""
