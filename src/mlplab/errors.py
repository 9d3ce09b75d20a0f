"""The one error that is meant for a person: a line, without a traceback, exit code 2."""

import errno

# A disk that is full or cannot be written is no bug.
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


class InputError(ValueError):
    """Say in one line what was wrong, what is allowed, what was given and where to change it."""


class Ended(BaseException):
    """Carry an error, its ``__cause__``, past Hydra, which would print it, to the command, which answers it."""


def hides_interrupt(error: BaseException) -> bool:
    """Say whether an error was made of an interrupt: in somebody's cleaning up, or by Hydra of OmegaConf's."""
    link: BaseException | None = error
    seen: set[int] = set()  # an error may stand among its own causes
    while link is not None and id(link) not in seen and not isinstance(link, KeyboardInterrupt):
        seen.add(id(link))
        link = link.__cause__ or link.__context__
    return isinstance(link, KeyboardInterrupt)
