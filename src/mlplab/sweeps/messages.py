"""What a worker tells its sweep, line by line in a file."""

import json
import os
import time
from pathlib import Path
from typing import Any

TELL_EVERY_S = 0.25


class Messages:
    """Append messages to a file, each one line of JSON; a file that is gone is not made again."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._last = 0.0

    def __call__(self, kind: str, **content: Any) -> None:
        with open(os.open(self.path, os.O_WRONLY | os.O_APPEND), "w") as file:
            file.write(json.dumps({"kind": kind, **content}, default=str) + "\n")

    def progress(self, epoch: int, epochs: int) -> None:
        """Tell how far a group is, at most a few times a second."""
        now = time.monotonic()
        if now - self._last >= TELL_EVERY_S:
            self._last = now
            self("progress", epoch=epoch, epochs=epochs)
