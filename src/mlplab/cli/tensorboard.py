"""TensorBoard over runs, or over one sweep with a run for each job."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mlplab.errors import InputError
from mlplab.runs.find import find_run, find_sweep
from mlplab.runs.index import Index
from mlplab.runs.signals import patient
from mlplab.words import conf_folder, folded, logs_folder, plural

USAGE = """\
usage: scripts/lab tensorboard [FOLDER|SWEEP|RUN|last] [TensorBoard's own flags, such as --port 6007]

  scripts/lab tensorboard                      all runs, every image kept
  scripts/lab tensorboard logs/train/NAME      one run (or its digits)
  scripts/lab tensorboard logs/sweep/NAME      a sweep: a run a job, named by what differs, and each setting's mean
  scripts/lab tensorboard last                 the newest sweep"""
SAMPLES = "--samples_per_plugin=images=500,scalars=10000,text=100"
TAGS = "tagFilter=%5E%28loss%7Caccuracy%29"
ONE_TAG = "tagFilter=%5Eloss%2Fval"
# TensorBoard draws so many curves at once within a few seconds.
MANY_RUNS = 40
REFRESH_S = 5.0


def tensorboard(words: Sequence[str]) -> int:
    """Start TensorBoard over a folder, by default that of all runs, with the flags that keep every image.

    Of a sweep it shows event files that are made from the run folders: one run a job and one for the mean of each
    setting, where the jobs' own would be three runs each. They are kept up to date while the sweep runs.
    """
    words = list(words)
    if {"-h", "--help"} & set(words):
        print(folded(USAGE))
        return 0
    place = words.pop(0) if words and not words[0].startswith("-") else None
    for before, word in zip(["", *words], words):
        if not word.startswith("-") and (not before.startswith("-") or "=" in before):
            raise InputError(
                f"tensorboard takes one folder and then TensorBoard's own flags, such as --port 6007, got {word!r}"
            )
    folder = found_folder(place)
    board = None
    if (folder / "sweep.json").is_file():
        from mlplab.report.board import Board

        board = Board(folder)
        print(f"reading {folder}", flush=True)
        count = board.update()
        print("\n".join(hints(count, words, board.means, board.left_out)), flush=True)
        folder = board.folder
    return serve([sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), SAMPLES, *words], board)


def found_folder(word: str | None) -> Path:
    """Find the folder that was named: a path, a sweep, or a run.

    Raises:
        InputError: there is none.
    """
    if word is None:
        folder = logs_folder()
        if not folder.is_dir():
            raise InputError(f"there are no runs yet: {folder} is no folder; scripts/lab train makes the first")
        return folder
    try:
        return find_sweep(word, logs_folder())
    except InputError as error:
        try:
            return find_run(word, Index(logs_folder(), conf_folder()))
        except InputError:
            raise InputError(
                f"tensorboard must be given a folder that exists, a sweep or a run, got {word!r}: {error}"
            ) from error


def hints(count: int, words: Sequence[str], means: int = 0, left_out: int = 0) -> list[str]:
    """Say where to look: addresses under which the curves are on the screen, also of more runs than 40."""
    port = next(
        (word.partition("=")[2] or after for word, after in zip(words, [*words[1:], ""]) if word.startswith("--port")),
        "6006",
    )
    at = f"http://localhost:{port}/"
    many = count > MANY_RUNS and means > 0
    return [
        f'{plural(count, "run")}: one a job, named by what differs, and "mean ..." for each setting of several seeds',
        *(
            [
                f"{plural(left_out, 'job has', 'jobs have')} no room: TensorBoard ticks {plural(count, 'run')} and no more; the means are over all"
            ]
            if left_out
            else []
        ),
        *([f"  curves of the means        {at}?runFilter=%5Emean&{TAGS}#timeseries"] if many else []),
        f"  curves of all runs         {at}?{TAGS if count <= 2 * MANY_RUNS else ONE_TAG}#timeseries",
        f"  training with validation   {at}#custom_scalars{'&regexInput=mean' if many else ''}",
        f"  a row a job                {at}#hparams",
    ]


def serve(program: list[str], board: object | None) -> int:
    """Run TensorBoard until it ends or Ctrl-C, and bring the board up to date meanwhile."""
    server = subprocess.Popen(program)
    try:
        while True:
            try:
                return server.wait(REFRESH_S if board is not None and board.running else None)
            except subprocess.TimeoutExpired:
                board.update()
    except KeyboardInterrupt:
        server.send_signal(signal.SIGINT)
        with patient():
            server.wait(10)
        return 0
    finally:
        if server.poll() is None:
            server.terminate()
