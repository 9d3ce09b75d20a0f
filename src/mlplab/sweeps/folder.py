"""The sweep folder: the same command, or the same name, finds the same folder again."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from mlplab.errors import InputError
from mlplab.runs.identity import Role, override_role

LONGEST = 60


def sweep_folder(logs: Path, kind: str, name: str | None, overrides: Sequence[str]) -> Path:
    """Find the folder of a sweep.

    Args:
        logs: where everything is written.
        kind: the experiment, or "sweep".
        name: as typed with ``sweep=``: a name, "last" for the one begun or gone on with last, or None to
            make one from the overrides.
        overrides: of the command line, sweeps not yet spread out.

    Raises:
        InputError: ``sweep=last`` where there is none.
    """
    parent = logs / kind
    if name == "last":
        known = sorted(parent.glob("*/sweep.json"), key=lambda path: path.stat().st_mtime)
        if not known:
            raise InputError(f"sweep=last finds no sweep in {parent}; leave it out to begin one")
        return known[-1].parent
    if name is not None:
        return parent / name
    # What is swept, and how a search searches.
    swept = sorted(text for text in overrides if Role.IDENTITY in override_role(text) or text.startswith("search."))
    digest = hashlib.sha256("\n".join(swept).encode()).hexdigest()[:8]
    keys = [text.partition("=")[0].lstrip("+~").rpartition(".")[2] for text in swept if "," in text or "(" in text]
    return parent / f"{'-'.join(keys)[:LONGEST]}-{digest}".lstrip("-")
