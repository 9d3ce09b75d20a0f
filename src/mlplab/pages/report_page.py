"""The page of a sweep: its settings as a table and a heat map, each opened up to its runs' networks."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from mlplab.pages.page import packed, page
from mlplab.words import plural, thinned

# Bytes of weights in one page, before base64; with the rest it stays under 3 MB.
WEIGHT_BYTES = 1_950_000
# Points of a learning curve; longer ones are thinned.
CURVE_POINTS = 40


def report_page(report: Mapping[str, Any]) -> str:
    """Return the page as HTML.

    Args:
        report: what is known of the sweep:

            - ``title``, ``lead`` (sentences), ``note``, ``sections`` ((heading, lines) each), ``fixed`` ((key, value)
              each: what is the same in all runs).
            - ``keys`` (swept, but seeds) and ``short`` (their short names); ``metrics``: ``key``, ``label``,
              ``percent`` and ``higher`` (whether more is better) each, the first shown first.
            - ``extra``: names of further columns, whose texts the rows have; ``pictures``: (caption, PNG bytes) each.
            - ``rows``, best first: ``values`` (texts or None), ``label``, ``count``, ``finished``, ``parameters``,
              ``best``, ``near``, ``limit`` (of the NLL, or None), ``command``, ``playground`` (an address or None),
              ``extra`` (texts), ``figures`` (metric key to ``mean`` and ``sd``, its standard deviation or None; or None), ``runs``: ``name``, ``link``,
              ``seed`` (in words), ``status``, ``figures`` (metric key to value), ``network`` and ``history``.
            - a ``network`` is None or ``widths``, ``activation``, ``dropout``, ``extent``, ``law`` and ``snapshots``:
              (epoch, weights (S,)) each, the measured one last; a ``history`` None or columns ``epoch``, ``train`` and
              ``validation``. ``median`` of a row: the index of the run whose epochs are kept first.
    """
    kept, note = fitting(report["rows"])
    nets: list[dict[str, Any]] = []
    histories: list[dict[str, Any]] = []
    rows = []
    for r, row in enumerate(report["rows"]):
        runs = []
        for k, run in enumerate(row["runs"]):
            entry = {key: run[key] for key in ("name", "link", "seed", "status", "figures")}
            snapshots = [
                entry for at, entry in enumerate((run["network"] or {}).get("snapshots", ())) if (r, k, at) in kept
            ]
            entry["net"] = entry["history"] = None
            if snapshots:
                entry["net"] = len(nets)
                measured = run["network"]["snapshots"][-1][0]
                snapshots.sort(key=lambda entry: entry[0])
                packing = [{"epoch": epoch, "weights": packed(weights, "<f2")} for epoch, weights in snapshots]
                plain = {key: run["network"][key] for key in ("widths", "activation", "dropout", "extent", "law")}
                nets.append(plain | {"half": True, "measured": measured, "snapshots": packing})
            if run["history"]:
                entry["history"] = len(histories)
                histories.append(thinned_curves(run["history"]))
            runs.append(entry)
        rows.append({key: row[key] for key in ROW} | {"runs": runs})
    content = {key: report[key] for key in ("title", "lead", "sections", "fixed", "keys", "short", "metrics", "extra")}
    content["pictures"] = [[caption, base64.b64encode(image).decode()] for caption, image in report["pictures"]]
    content |= {
        "rows": rows,
        "nets": nets,
        "histories": histories,
        "note": " ".join(filter(None, [report["note"], note])),
    }
    return page("report.html", content, title=report["title"])


ROW = (
    "values",
    "label",
    "count",
    "finished",
    "parameters",
    "best",
    "near",
    "limit",
    "command",
    "playground",
    "figures",
    "extra",
)


def fitting(rows: Sequence[Mapping[str, Any]]) -> tuple[set[tuple[int, int, int]], str]:
    """Choose the weights that a page has room for: first the measured ones of each setting's median run, then of all
    runs, then the epochs of the median runs, then all others.

    Returns:
        (row, run, snapshot) of each that is kept, and a sentence that says what was left out.
    """
    queue = []
    for r, row in enumerate(rows):
        for k, run in enumerate(row["runs"]):
            snapshots = (run["network"] or {}).get("snapshots", ())
            for at, (_, weights) in enumerate(snapshots):
                is_last, is_median = at == len(snapshots) - 1, k == row["median"]
                rank = 0 if is_last and is_median else 1 if is_last else 2 if is_median else 3
                queue.append((rank, r, k, at, 2 * len(weights)))
    queue.sort(key=lambda entry: (entry[0], -entry[3] if entry[0] > 1 else 0, entry[4]))
    kept, room, left = set(), WEIGHT_BYTES, [0, 0, 0, 0]
    for rank, r, k, at, size in queue:
        if size <= room:
            room -= size
            kept.add((r, k, at))
        else:
            left[rank] += 1
    said = [
        plural(number, *words)
        for number, words in zip(
            left,
            (
                ("median run",),
                ("other run",),
                ("epoch of median runs", "epochs of median runs"),
                ("epoch of other runs", "epochs of other runs"),
            ),
        )
        if number
    ]
    return kept, f"To keep the page small it lacks weights: {', '.join(said)}." if said else ""


def thinned_curves(history: Mapping[str, Sequence]) -> dict[str, list]:
    """Keep at most `CURVE_POINTS` epochs of a learning curve, spread evenly over its length, ends included."""
    count = len(history["epoch"])
    places = thinned(range(count), CURVE_POINTS)

    def cell(value: Any) -> Any:
        return float(f"{value:.4g}") if isinstance(value, float) else value

    return {name: [cell(column[k]) for k in places] for name, column in history.items()}
