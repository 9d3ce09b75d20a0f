"""A run's figures drawn again: ``redraw RUN [RUN ...] [FIGURE ...] [format=pdf,svg] [size=column] [style=plain]``."""

from collections.abc import Sequence
from contextlib import nullcontext

from mlplab.cli.runs import shown_path
from mlplab.errors import InputError
from mlplab.rules import near
from mlplab.runs.find import run_folder
from mlplab.runs.folder import RunFolder, owned
from mlplab.words import expanded, folded, is_option, logs_folder

FIGURES = (
    "decision_map",
    "bayes",
    "learning_strip",
    "learning_curves",
    "calibration",
    "projection",
    "scatter_matrix",
    "errors",
    "first_layer",
)
KEYS = ("format", "figures.format", "size", "style", "to", "paths.logs")
USAGE = f"""\
usage: scripts/lab redraw RUN [RUN ...] [FIGURE ...] [format=png,svg,pdf] [size=page|column] [style=titled|plain] [to=DIR]

  scripts/lab redraw best format=pdf                    every figure of the best run, words as text
  scripts/lab redraw 1a2b3c4d decision_map format=pdf,svg size=column style=plain
  size=column: 3.3 inches wide, letters of 8 points and more (decision_map, learning_curves)

FIGURE: {", ".join(FIGURES)}; all of them where none is named. RUN: a folder, digits, name, last or best.
Nothing is trained: they are drawn from the run's figures/arrays.npz, into its figures/ or into to=DIR."""


def redraw(words: Sequence[str]) -> int:
    """Draw figures again from what runs saved.

    Returns:
        0.

    Raises:
        InputError: no run, or an option is wrong.
    """
    if {"-h", "--help"} & set(words):
        print(folded(USAGE))
        return 0
    options, figures, named = {}, [], []
    for word in words:
        key, _, value = word.partition("=")
        if is_option(word):
            if key not in KEYS:
                raise InputError(f"redraw takes {', '.join(KEYS)}, got {word}{near(key, KEYS)}")
            options[key.removeprefix("figures.")] = value
        elif word in FIGURES:
            figures.append(word)
        else:
            named.append(word)
    if not named:
        raise InputError(
            "redraw must be given a run: redraw RUN [RUN ...] [FIGURE ...] [format=pdf]; see redraw --help"
        )
    runs = [RunFolder(run_folder(word, options.get("paths.logs", logs_folder()), "train")) for word in named]
    from mlplab.report.redraw import redraw as draw

    place = expanded(options["to"]) if "to" in options else None
    for run in runs:
        target = place / run.name if place and len(runs) > 1 else place
        with owned(run.path) if target is None else nullcontext():
            files, left_out = draw(
                run,
                figures or None,
                options.get("format", "png").split(","),
                size=options.get("size", "page"),
                style=options.get("style", "titled"),
                place=target,
            )
        for path in files:
            print(f"picture  {shown_path(path)}")
        for line in left_out:
            print(f"left out {line}")
    return 0
