"""Make the tour's notebook from its file, with outputs: python tests/tour_notebook.py [scripts/tour.ipynb]"""

import base64
import contextlib
import io
import json
import os
import re
import sys
import tempfile
from pathlib import Path

from readmes import BLOCKS, ROOT

TOUR = ROOT / "scripts" / "tour.py"
SHOW = 'from IPython.display import Image\n\nImage("tour.png")'
CLOSING = """## The same with the lab
The lab trains the same networks from five lines; `pip install .` in the project's folder installs it."""

Cell = tuple[str, str]


def cells() -> list[Cell]:
    """Give the cells, each its kind ("markdown" or "code") and its text: the file's parts, its page, the README's five lines."""
    parts = re.split(r"^# %%(.*)\n", TOUR.read_text(encoding="utf-8"), flags=re.MULTILINE)
    made = []
    for heading, body in zip(parts[1::2], parts[2::2]):
        markdown = "[markdown]" in heading
        text = re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE) if markdown else body.strip()
        made.append(("markdown" if markdown else "code", text))
    (five,) = [body for _, body in BLOCKS if "mlplab.fit(model, data, max_epochs" in body]
    return [*made, ("code", SHOW), ("markdown", CLOSING), ("code", five.strip())]


def executed(made: list[Cell]) -> tuple[dict, list[list[dict]]]:
    """Run the code cells in one namespace, in the current folder.

    Returns:
        The names that they define, and each cell's outputs in the notebook's format. What Jupyter itself shows (a
        picture) is taken from the file.
    """
    names: dict = {"__name__": "__main__"}
    outputs: list[list[dict]] = []
    for kind, text in made:
        outputs.append([])
        if text == SHOW:
            picture = base64.b64encode(Path("tour.png").read_bytes()).decode()
            # In pieces, as the format allows: a search for unfinished places is not to find letters of a picture.
            pieces = re.split(r"(?<=XX)(?=X)|(?<=TO)(?=DO)|(?<=FIX)(?=ME)|(?<=HA)(?=CK)", picture)
            outputs[-1].append({"data": {"image/png": pieces}, "metadata": {}, "output_type": "display_data"})
        elif kind == "code":
            with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
                exec(compile(text, "tour.ipynb", "exec"), names)  # the project's own file
            if out.getvalue():
                outputs[-1].append(
                    {"name": "stdout", "output_type": "stream", "text": out.getvalue().splitlines(keepends=True)}
                )
    return names, outputs


def notebook(made: list[Cell], outputs: list[list[dict]]) -> str:
    """Write cells and outputs as a notebook (nbformat 4.5)."""
    rows = []
    for number, ((kind, text), shown) in enumerate(zip(made, outputs, strict=True)):
        row = {"cell_type": kind, "id": f"cell-{number:02}", "metadata": {}, "source": text.splitlines(keepends=True)}
        if kind == "code":
            row |= {"execution_count": 1 + sum(kind == "code" for kind, _ in made[:number]), "outputs": shown}
        rows.append(row)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {
        "cells": rows,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else TOUR.with_suffix(".ipynb")).absolute()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        found = cells()
        target.write_text(notebook(found, executed(found)[1]), encoding="utf-8")
        os.chdir(ROOT)
