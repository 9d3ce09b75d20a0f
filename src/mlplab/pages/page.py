"""One self-contained HTML file from a page's template: its scripts and styles put in, its data escaped.

The page of a run is one: its network's snapshots laid open in the browser, beside all that its folder holds.
"""

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from mlplab.runs.files import finite

SCRIPT = re.compile(r'<script src="([\w/.]+)"((?: [\w]+="[\w/]+")*)></script>')
STYLE = re.compile(r'<link rel="stylesheet" href="([\w/.]+)">')
DATA = '<script id="data" type="application/json">{}</script>'


def page(template: str, data: Mapping[str, Any], title: str | None = None) -> str:
    """Build a page of this room.

    The template is an ordinary page, which also opens as it is: each script and style it names is put in its place.

    Args:
        template: name of a template beside this file.
        data: what the page is given: plain values; numbers that are not finite become null, and no text of it can end
            the element that it stands in.
        title: of the page; None for the template's own.

    Returns:
        The HTML, which asks nothing of a network.
    """
    text = source(template)
    text = STYLE.sub(lambda found: f"<style>\n{source(found[1])}</style>", text)
    text = SCRIPT.sub(lambda found: f"<script{found[2]}>\n{source(found[1])}</script>", text)
    if title is not None:
        text = re.sub("<title>.*?</title>", lambda _: f"<title>{html.escape(title)}</title>", text, count=1)
    return text.replace(DATA, DATA.replace("{}", json_for_script(data)), 1)


def source(name: str) -> str:
    """Read a file of this room without its indentation and lines of comment, which a fifth of a page would be."""
    lines = files("mlplab.pages").joinpath(name).read_text(encoding="utf-8").splitlines()
    return "".join(f"{line.strip()}\n" for line in lines if line.strip() and not line.lstrip().startswith("//"))


def json_for_script(data: Any) -> str:
    """Write JSON that may stand inside a script element: ``<`` is escaped, so that nothing in it is markup."""
    return json.dumps(
        finite(data), default=lambda value: finite(value.tolist()), allow_nan=False, separators=(",", ":")
    ).replace("<", "\\u003c")


def packed(array: np.ndarray, dtype: str = "<f4") -> str:
    """Write an array's bytes in base64, little-endian, as the pages read them."""
    return base64.b64encode(np.ascontiguousarray(array, dtype=dtype).tobytes()).decode()


# Bytes of weights that a page of one run takes at most, before base64; the chosen state comes in up to the second.
SNAPSHOT_BYTES = 180_000
CHOSEN_BYTES = 3_000_000
MOST_POINTS = 2000


def run_page(run: Mapping[str, Any]) -> str:
    """Return the page as HTML.

    Args:
        run: what is known of the run, as plain values and arrays:

            - ``name``, ``title``, ``lead``: texts; ``classes``, ``features``: names.
            - ``widths``: of the layers, inputs and outputs included, None for a network that the page cannot compute;
              ``activation`` (a name, or a mapping with its arguments) and ``dropout``.
            - ``snapshots``: (epoch, label, weights (S,)) each, in the order of the epochs; ``chosen``: the index of
              the state that was measured. Weights are each layer's matrix, row after row, and then its bias.
            - ``pair`` and ``extent``: the two features of the map and its left, right, bottom, top, or None; ``box``:
              lowest and highest train values (2, F). These are in the data's units: an input x is x * ``scale`` +
              ``shift`` in them, (F,) each.
            - ``x`` (N, F) and ``y`` (N,): test points, or None; ``probabilities`` (N, C) on them, where there are no
              weights, or None.
            - ``law``: the data's exact density as :func:`law_of` gives it, or None.
            - ``history``: column name to one value an epoch; ``limit``: ``nll`` and ``accuracy`` or None.
            - ``figures``: (part, its figures) each; ``config``: (key, value, default, differs) each, as texts.
            - ``commands``: (what it does, command) each; ``manifest``: text; ``playground``: an address or None.
    """
    snapshots, chosen, note = within(run["snapshots"], run["chosen"])
    content = {key: run[key] for key in KEYS}
    content["lead"] = " ".join(filter(None, [run["lead"], note]))
    content["widths"] = run["widths"] if snapshots else None
    content["snapshots"] = [
        {"epoch": epoch, "label": label, "weights": packed(weights)} for epoch, label, weights in snapshots
    ]
    content["chosen"] = chosen
    if run["x"] is None:
        content |= {"points": None, "probabilities": None}
    else:
        x, y = np.asarray(run["x"])[:MOST_POINTS], np.asarray(run["y"])[:MOST_POINTS]
        content["points"] = {"count": len(y), "x": packed(x.T), "y": packed(y, "<i4")}
        known = run["probabilities"]
        content["probabilities"] = (
            None if known is None or content["widths"] else packed(np.asarray(known)[:MOST_POINTS].T)
        )
    return page("run.html", content, title=run["title"])


KEYS = (
    "name",
    "title",
    "classes",
    "features",
    "activation",
    "dropout",
    "pair",
    "extent",
    "shift",
    "scale",
    "box",
    "law",
    "history",
    "limit",
    "figures",
    "config",
    "commands",
    "manifest",
    "playground",
)


def within(snapshots: Sequence[tuple[int, str, np.ndarray]], chosen: int) -> tuple[list, int, str]:
    """Keep the snapshots that a page has room for: the chosen one first, then the last, then the earlier ones.

    Returns:
        The snapshots kept, the index of the chosen one among them, and a sentence that says what was left out.
    """
    if not snapshots or snapshots[chosen][2].nbytes > CHOSEN_BYTES:
        return [], 0, "The network is too large for its weights to stand in this page." if snapshots else ""
    order = [chosen, *(k for k in range(len(snapshots) - 1, -1, -1) if k != chosen)]
    kept, room = [], max(SNAPSHOT_BYTES, snapshots[chosen][2].nbytes)
    for k in order:
        room -= snapshots[k][2].nbytes
        if room >= 0:
            kept.append(k)
    kept.sort()
    left = [str(snapshots[k][0]) for k in range(len(snapshots)) if k not in kept]
    note = f"Left out for their size: the weights of epochs {', '.join(left)}." if left else ""
    return [snapshots[k] for k in kept], kept.index(chosen), note


def law_of(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Say in the page's words which exact density a data config has; None where it has none that the page knows.

    Args:
        data: the node ``data`` of a resolved train config.
    """
    target = str(data.get("_target_", ""))
    name = target.rpartition(".")[2].removesuffix("DataModule").lower()
    if not target.startswith("mlplab.") or name not in ("spiral", "circles", "moons", "xor", "blobs"):
        return None
    return {
        "name": name,
        "classes": data.get("arms") or data.get("classes") or 2,
        "noise": data["noise"],
        "t_min": data.get("t_min", 0),
        "t_max": data.get("t_max", 1),
        "rotation_degrees": data.get("rotation_degrees", 0),
    }
