"""The report of sweeps: tables, figures and a page from what the runs left; no torch, no Hydra."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from mlplab.errors import InputError
from mlplab.pages.page import write_playground
from mlplab.report import csv, words
from mlplab.report.joining import build
from mlplab.report.page import sweep_page
from mlplab.report.search import Search, read_search
from mlplab.report.search import lead as search_lead
from mlplab.report.split import SPLIT, split_lines, split_markdown
from mlplab.report.table import Table
from mlplab.report.tuned import TUNED, tuned_lines, tuned_markdown, tuned_screen
from mlplab.rules import near
from mlplab.runs.files import write_bytes, write_text
from mlplab.runs.find import find_sweep
from mlplab.runs.sweep_folder import read_sweep
from mlplab.words import expanded, is_option, logs_folder, plural, wrapped

USAGE = "report SWEEP_FOLDER [SWEEP_FOLDER ...] [paths.logs=DIR]; a sweep's name, or last for the newest, stands for it"
# Drawn by some report or other: what an earlier one left and this one does not draw would be out of date.
PICTURES = (
    "heat_map",
    "decision_maps",
    "learning_curves",
    "ranking",
    "search_history",
    "search_keys",
    "front",
    "measured",
    "tuned",
)
AGAINST = "against_"


def report(argv: Sequence[str]) -> int:
    """Report on one or several sweep folders: ``report SWEEP_FOLDER [SWEEP_FOLDER ...] [paths.logs=DIR]``.

    Args:
        argv: folders of sweeps or of runs, and where to write; by default into the one folder, or for several
            into one of their own under ``report/`` beside their experiments.

    Returns:
        0.

    Raises:
        InputError: a folder is none, is empty or damaged, or the sweeps do not go together.
    """
    folders, logs = split(argv)
    if folders is None:
        print(f"usage: scripts/lab {USAGE}")
        return 0
    sweeps = [read_sweep(folder) for folder in folders]
    table = build(sweeps)
    search = read_search(folders[0]) if len(folders) == 1 else None
    place = report_folder(folders, logs)
    write(table, place, search)
    tell(table, place, search)
    return 0


def split(argv: Sequence[str]) -> tuple[list[Path] | None, Path | None]:
    """Sort the words into folders and options; no folders at all where help is asked for."""
    named: list[str] = []
    logs = None
    for word in argv:
        if word in ("-h", "--help"):
            return None, None
        key, _, value = word.partition("=")
        if key == "sweep" and value:
            named.append(value)
        elif is_option(word):
            if key != "paths.logs" or not value:
                raise InputError(f"report takes paths.logs=DIR alone, got {word}{near(key, ['paths.logs'])}")
            logs = expanded(value)
        elif word.startswith("-"):
            raise InputError(f"report takes no flags, got {word}; usage: {USAGE}")
        else:
            named.append(word)
    home = logs_folder() if logs is None or not (logs / "sweep").is_dir() else logs
    folders = [place_of(word, home) for word in named]
    if not folders:
        raise InputError(f"report must be given a sweep folder: {USAGE}")
    twice = [folder for index, folder in enumerate(folders) if folder.resolve() in map(Path.resolve, folders[:index])]
    if twice:
        raise InputError(f"each sweep folder must be given once, got {twice[0]} twice")
    return folders, logs


def place_of(word: str, logs: Path) -> Path:
    """Find a sweep's folder by what was typed: a path as it is, else the name of a sweep, or last."""
    path = expanded(word)
    return path if path.exists() or os.sep in word else find_sweep(word, logs)


def report_folder(folders: Sequence[Path], logs: Path | None) -> Path:
    """Choose where the report is written: the same folders have the same place."""
    if logs is None and len(folders) == 1:
        return folders[0]
    paths = [str(folder.resolve()) for folder in folders]
    digest = hashlib.sha256("\n".join(paths).encode()).hexdigest()[:8]
    name = "-".join(Path(path).name for path in paths)[:60]
    parent = folders[0].resolve().parent.parent if logs is None else logs
    return parent / "report" / f"{name}-{digest}"


def write(table: Table, place: Path, search: Search | None = None) -> None:
    """Write tables, figures and the page."""
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {place}: {error.strerror}; choose another place with paths.logs=DIR") from error
    if not os.access(place, os.W_OK):
        raise InputError(f"cannot write into {place}; choose another place with paths.logs=DIR")
    write_text(place / "sweep.csv", csv.settings_csv(table), sync=False)
    write_text(place / "runs.csv", csv.runs_csv(table), sync=False)
    write_text(place / "seconds.csv", csv.seconds_csv(table), sync=False)
    figures, without = draw_figures(table, place / "figures", search)
    sentences = leads(table, search)
    more = [*tuned_markdown(table), *split_markdown(table)]
    text = words.markdown(table, [(f"{name}.png", caption) for name, caption, _ in figures], sentences, without, more)
    write_text(place / "sweep.md", text, sync=False)
    pictures = (
        figures if search is not None or table.chosen_by is None else [one for one in figures if one[0] == "tuned"]
    )
    sections = [(TUNED, tuned_lines(table)), (SPLIT, split_lines(table)), ("Figures left out", without)]
    html = sweep_page(table, place, sentences, sections, pictures)
    write_text(place / "report.html", html, sync=False)
    if '"playground":"playground.html' in html:
        write_playground(place)


def leads(table: Table, search: Search | None) -> list[str]:
    """Give the sentences at the top: of a search its own, else those about the settings."""
    return words.lead(table)[:1] + search_lead(search) if search is not None else words.lead(table)


def draw_figures(
    table: Table, folder: Path, search: Search | None = None
) -> tuple[list[tuple[str, str, bytes]], list[str]]:
    """Draw and save the figures; returns (name, caption, PNG bytes) each, and why others are left out."""
    figures, without = [], ["No figure is drawn: no run has finished."]
    if any(setting.finished for setting in table.settings):
        # Imported here: a sweep without results does not wait for matplotlib.
        from mlplab.plots.style import png_bytes

        if search is not None:
            from mlplab.report.search_figures import draw_search

            drawings, without = draw_search(search)
        elif table.chosen_by is None:
            from mlplab.report.study_figures import draw_study

            drawings, without = draw_study(table)
        else:
            from mlplab.report.figures import draw

            drawings, without = draw(table)
        for drawing in drawings:
            image = png_bytes(drawing.figure)
            write_bytes(folder / f"{drawing.name}.png", image, sync=False)
            figures.append((drawing.name, drawing.caption, image))
    drawn = {name for name, _, _ in figures}
    for path in folder.glob("*.png"):
        if path.stem not in drawn and (path.stem in PICTURES or path.stem.startswith(AGAINST)):
            path.unlink()
    return figures, without


def tell(table: Table, place: Path, search: Search | None = None) -> None:
    """Print the short table, what is missing, and where the rest is."""
    if search is not None:
        for line in search_lead(search):
            print(wrapped(line))
        print()
    print("\n".join(words.screen(table, brief=search is not None)))
    print("\n".join(tuned_screen(table)))
    lost = words.failures(table)
    if lost:
        number = len(lost)
        print(f"\n{plural(number, 'run')} of {len(table.jobs)} without a result; see sweep.md. The first:")
        print("\n".join(f"  {line}" for line in lost[:3]))
    for note in table.notes:
        print(wrapped(f"note: {note}", indent="  "))
    where = os.path.relpath(place)
    where = where if len(where) < len(str(place)) else str(place)
    print(f"\ntable    {where}/sweep.md")
    print(f"page     {where}/report.html")
    if (place / "figures").is_dir():
        print(f"figures  {where}/figures/")
