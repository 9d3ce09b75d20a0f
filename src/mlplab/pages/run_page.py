"""The page of one run: its network's snapshots laid open in the browser, beside all that its folder holds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlplab.pages.page import packed, page

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
    told = {key: run[key] for key in KEYS}
    told["lead"] = " ".join(filter(None, [run["lead"], note]))
    told["widths"] = run["widths"] if snapshots else None
    told["snapshots"] = [
        {"epoch": epoch, "label": label, "weights": packed(weights)} for epoch, label, weights in snapshots
    ]
    told["chosen"] = chosen
    if run["x"] is None:
        told |= {"points": None, "probabilities": None}
    else:
        x, y = np.asarray(run["x"])[:MOST_POINTS], np.asarray(run["y"])[:MOST_POINTS]
        told["points"] = {"count": len(y), "x": packed(x.T), "y": packed(y, "<i4")}
        known = run["probabilities"]
        told["probabilities"] = None if known is None or told["widths"] else packed(np.asarray(known)[:MOST_POINTS].T)
    return page("run.html", told, title=run["title"])


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
