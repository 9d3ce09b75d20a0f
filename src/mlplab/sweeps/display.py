"""One live line for a whole sweep; plain lines where there is no terminal."""

import shutil
import sys
import time
from typing import TextIO

from mlplab.words import plural

WIDTH = 79


class Display:
    """Show groups and members done, running and failed, the best so far, and the time left.

    Args:
        stream: where to; standard error by default.
        every_seconds: between two plain lines where there is no terminal.
    """

    def __init__(self, stream: TextIO | None = None, every_seconds: float = 10.0) -> None:
        self.stream = stream or sys.stderr
        self.every_seconds = every_seconds
        self.live = self.stream.isatty()
        self._start = time.monotonic()
        self._last = float("-inf")
        self._width = 0

    def show(
        self,
        *,
        groups: tuple[int, int],
        jobs: int,
        done: int,
        running: int,
        failed: int,
        best: tuple[float, str] | None,
        share: float,
        final: bool = False,
    ) -> None:
        """Renew the line.

        Args:
            groups: ended, and in all.
            jobs: in all.
            done: jobs that have a result, those of earlier calls included.
            running: jobs in groups that run now.
            failed: jobs that failed.
            best: lowest NLL so far, and whose.
            share: of this call's work that is done, in [0, 1].
            final: the last call.
        """
        now = time.monotonic()
        if not final and now - self._last < (0.2 if self.live else self.every_seconds):
            return
        self._last = now
        spent = now - self._start
        words = [f"groups {groups[0]}/{groups[1]}", f"jobs {done}/{jobs}"]
        words += [f"{running} running"] if running else []
        words += [f"{failed} failed"] if failed else []
        if final:
            words.append(clock(spent))
        elif 0.02 < share < 1:
            words.append(f"{clock(spent / share * (1 - share))} left")
        if best is not None:
            words.append(f"best NLL {best[0]:.4f}")
            room = WIDTH - len("  ".join([*words, ""]))
            # The end of a name is a digest, the least informative part.
            words += [best[1] if len(best[1]) <= room else f"{best[1][: room - 3]}..."] if room > 10 else []
        self._write("  ".join(words), final)

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._write(text, True)

    def composing(self, done: int, count: int) -> None:
        """Show how many jobs have been composed."""
        now = time.monotonic()
        if done and count >= 100 and now - self._last >= (0.2 if self.live else self.every_seconds):
            self._last = now
            self._write(f"composing {done}/{plural(count, 'job')}", False)

    def _write(self, text: str, stays: bool) -> None:
        if not self.live:
            print(text, file=self.stream, flush=True)
            return
        if not stays:  # what stays, such as the reason of a failure, is printed whole
            text = text[: max(20, shutil.get_terminal_size().columns - 1)]
        self.stream.write("\r" + text.ljust(self._width) + ("\n" if stays else ""))
        self.stream.flush()
        self._width = 0 if stays else len(text)


def clock(seconds: float) -> str:
    """Write a duration, such as ``1:05`` or ``2:03:04``."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
