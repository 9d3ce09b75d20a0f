"""Two or more runs, or two sweeps, side by side: what differs, by how much, and whether it is chance."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlplab.cli.runs import shown_path
from mlplab.errors import InputError
from mlplab.report.joining import first_config
from mlplab.report.paired import McNemar, Paired, config_differences, mcnemar, pair_sweeps, paired_t
from mlplab.report.words import p_words
from mlplab.runs.files import read_flat, read_json, write_bytes, write_text
from mlplab.runs.find import find_sweep, run_folder, study_of
from mlplab.runs.folder import RunFolder
from mlplab.runs.names import shown
from mlplab.runs.sweep_folder import SweepFolder, read_sweep
from mlplab.words import columns, expanded, folded, is_option, logs_folder, plural, wrapped

USAGE = """\
usage: scripts/lab compare RUN RUN [RUN ...] [paths.logs=DIR]
       scripts/lab compare SWEEP SWEEP

  scripts/lab compare 1a2b3c4d 9f8e7d6c         what differs, McNemar's test on the fresh points, maps, curves
  scripts/lab compare best last logs/train/NAME  a run: its folder, its digits, its name, best, last
  scripts/lab compare logs/sweep/A logs/sweep/B  settings paired by seed: difference, 95 % interval, p"""
METRICS = (
    ("accuracy", 100.0, "{:.2f} %"),
    ("nll", 1.0, "{:.4f}"),
    ("accuracy_regret", 100.0, "{:.2f}"),
    ("nll_regret", 1.0, "{:.4f}"),
    ("calibration_error", 100.0, "{:.2f}"),
)
CURVES = (("train/loss", "val/nll"), ("train/loss", "val/loss"))


def compare(words: Sequence[str]) -> int:
    """Compare runs or sweeps: ``compare A B [C ...]``.

    Returns:
        0.

    Raises:
        InputError: fewer than two, or runs and sweeps mixed.
    """
    if {"-h", "--help"} & set(words):
        print(folded(USAGE))
        return 0
    logs = logs_folder()
    named = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key == "paths.logs":
            logs = expanded(value)
        elif is_option(word):
            raise InputError(f"compare takes runs or sweeps, and paths.logs=DIR, got {word}")
        else:
            named.append(word)
    if len(named) < 2:
        raise InputError("compare must be given two runs or two sweeps: compare A B [C ...]; see compare --help")
    sweeps = [sweep_of(word, logs) for word in named]
    if all(sweeps):
        if len(sweeps) > 2:
            raise InputError(f"two sweeps can be compared, got {len(sweeps)}; report takes several into one table")
        compare_sweeps([folder for folder in sweeps if folder])
        return 0
    if any(sweeps):
        raise InputError("compare takes either runs or sweeps, got both; report SWEEP shows a sweep's own runs")
    study = study_of(run_folder(named[0], logs)) or "train"
    runs = [RunFolder(run_folder(word, logs, study)) for word in named]
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise InputError(f"each run must be given once, got {', '.join(named)}")
    compare_runs(runs, logs)
    return 0


def sweep_of(word: str, logs: Path) -> Path | None:
    """Find the sweep that a word names; None where it names a run, if anything."""
    if word in ("last", "best"):
        return None
    try:
        folder = find_sweep(word, logs)
    except InputError:
        return None
    return None if (folder / "config.yaml").is_file() else folder


def compare_sweeps(folders: Sequence[Path]) -> None:
    """Print the differences of two sweeps' settings, paired by seed."""
    first, second = (read_sweep(folder) for folder in folders)
    pairs, own = pair_sweeps(first, second)
    if not pairs:
        raise InputError("the two sweeps have no finished runs of the same setting and seed to be paired")
    print(f"A  {shown_path(folders[0])}\nB  {shown_path(folders[1])}\n")
    found = [entry for entry in config_differences([fixed(first), fixed(second)]) if entry[0] != "data.order_seed"]
    found = [(key, *map(shown, values)) for key, values in found if not {key} & {*swept(first), *swept(second)}]
    print(
        "\n".join(columns([("config", "A", "B"), *found]) if found else ["config  the same but for what is swept"])
        + "\n"
    )
    rows = [("setting", "pairs", "accuracy, A - B, points", "p", "NLL, A over B", "p")]
    for pair in pairs:
        ratio = [
            None if end is None else math.exp(end) for end in (pair.log_nll.mean, pair.log_nll.low, pair.log_nll.high)
        ]
        rows.append(
            (
                pair.label or "all",
                str(pair.accuracy.count),
                interval_words(pair.accuracy, 100, "{:+.2f}"),
                p_words(pair.accuracy.p),
                numbers(ratio, "{:.3g}"),
                p_words(pair.log_nll.p),
            )
        )
    print("\n".join(columns(rows)))
    print()
    print(wrapped(f"On {pairs[0].part} points; [95 % interval] and p by Student's t for pairs of one seed."))
    if len(pairs) > 1:
        print(
            wrapped(
                f"{plural(len(pairs), 'setting')}: of that many p-values the smallest must be below {0.05 / len(pairs):.2g} to be significant (Bonferroni)."
            )
        )
    if pairs[0].accuracy.count < 3:
        print(wrapped("No verdict: with fewer than three pairs chance and effect cannot be separated."))
    if own:
        print(wrapped(f"Only one of the two swept {', '.join(own)}: its values are averaged."))
    alone = sum(pair.alone for pair in pairs)
    if alone:
        print(f"{plural(alone, 'run')} left out: no partner of the same seed")


def swept(sweep: SweepFolder) -> list[str]:
    """List the keys of which a sweep has several values."""
    return [key for key in sweep.swept if len({repr(job.swept.get(key)) for job in sweep.jobs}) > 1]


def fixed(sweep: SweepFolder) -> dict[str, Any]:
    """Give what all runs of a sweep have in common."""
    return first_config(sweep) | {key: sweep.jobs[0].swept.get(key) for key in sweep.swept if key not in swept(sweep)}


def compare_runs(runs: Sequence[RunFolder], logs: Path) -> None:
    """Print what differs between runs, with a paired test, and draw their maps and curves."""
    letters = [chr(ord("A") + place) for place in range(len(runs))]
    for letter, run in zip(letters, runs):
        print(f"{letter}  {shown_path(run.path)}")
    print()
    print("\n".join(differing(runs, letters)))
    results = [record(run.result) for run in runs]
    rows = metric_rows(results, letters)
    if len(rows) > 1:
        print()
        print("\n".join(columns(rows)))
    tests = [line for other in range(1, len(runs)) for line in test_lines(runs, results, letters, other)]
    if tests:
        print()
        print("\n".join(tests))
    place = logs / "compare" / "--".join(run.path.name.rpartition("-")[2] or run.path.name for run in runs)[:80]
    drawn = draw(runs, results, letters, place)
    write_text(place / "compare.md", markdown(runs, letters, rows, tests, [path.name for path in drawn]))
    print()
    if not any(path.name == "maps.png" for path in drawn):
        print(wrapped("no maps side by side: not all runs have one, on one grid (figures=map draws it)"))
    for path in drawn:
        print(f"picture  {shown_path(path)}")
    print(f"words    {shown_path(place / 'compare.md')}")


def record(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except InputError:
        return {}
    return value if isinstance(value, dict) else {}


def differing(runs: Sequence[RunFolder], letters: Sequence[str]) -> list[str]:
    """Say what differs in config, data and code."""
    found = config_differences([read_flat(run.config) for run in runs])
    rows = [("config", *letters), *((key, *(shown(value) for value in values)) for key, values in found)]
    lines = columns(rows) if found else ["config   the same"]
    manifests = [record(run.manifest) for run in runs]
    for key, name in (("data_sha256", "data"), ("code_digest", "code")):
        values = [str(manifest.get(key)) for manifest in manifests]
        same = len(set(values)) == 1
        lines.append(
            f"{name:<8} "
            + ("the same" if same else "differ: " + ", ".join(f"{one} {v[:8]}" for one, v in zip(letters, values)))
        )
    versions = [manifest.get("versions") or {} for manifest in manifests]
    others = sorted({name for one in versions for name in one if any(o.get(name) != one.get(name) for o in versions)})
    for name in others:
        lines.append(f"{name:<8} " + ", ".join(f"{one} {v.get(name)}" for one, v in zip(letters, versions)))
    return lines


def metric_rows(results: Sequence[dict[str, Any]], letters: Sequence[str]) -> list[tuple[str, ...]]:
    """Give the metrics of runs side by side."""
    rows: list[tuple[str, ...]] = [("", *letters)]
    for part in ("test", "fresh"):
        for name, factor, form in METRICS:
            values = [(result.get(part) or {}).get(name) for result in results]
            if any(isinstance(value, int | float) for value in values):
                cells = [form.format(factor * value) if isinstance(value, int | float) else "" for value in values]
                rows.append((f"{part} {name.replace('_', ' ').replace('nll', 'NLL')}", *cells))
    for name in ("parameters", "epochs", "status"):
        values = [result.get(name) for result in results]
        if any(value is not None for value in values):
            rows.append((name, *(f"{v:,}" if isinstance(v, int) else str(v or "") for v in values)))
    return rows


def test_lines(
    runs: Sequence[RunFolder], results: Sequence[dict[str, Any]], letters: Sequence[str], other: int
) -> list[str]:
    """Test the first run against another one on the same points, or say why that cannot be."""
    pair = f"{letters[0]} and {letters[other]}"
    manifests = [record(runs[place].manifest) for place in (0, other)]
    if not all(results[place].get("evaluated") for place in (0, other)):
        return [f"{pair}: no test, since one of them has no result"]
    if manifests[0].get("data_sha256") != manifests[1].get("data_sha256"):
        return [wrapped(f"{pair}: no paired test, since their data differ: no points are common to both")]
    found = on_the_same_points(runs[0], runs[other], results[0]["evaluated"], results[other]["evaluated"])
    return verdict(pair, letters[0], letters[other], *found)


def on_the_same_points(first: RunFolder, second: RunFolder, *states: str) -> tuple[McNemar, Paired, str]:
    """Compute both networks on the fresh points, or the test points where there are no fresh ones."""
    import torch

    from mlplab.cli.evaluate import logits_of

    parts = [logits_of(run, which) for run, which in zip((first, second), states)]
    name = next(name for name in ("fresh", "test") if parts[0][name] is not None)
    (one, labels), (two, _) = parts[0][name], parts[1][name]
    rows = torch.arange(len(labels))
    losses = [-logits.double().log_softmax(1)[rows, labels] for logits in (one, two)]
    right = [(logits.argmax(1) == labels).tolist() for logits in (one, two)]
    return mcnemar(*right), paired_t((losses[0] - losses[1]).tolist()), name


def verdict(pair: str, first: str, second: str, found: McNemar, nll: Paired, part: str) -> list[str]:
    """Write McNemar's test and the difference of NLL in words."""
    count = found.difference.count
    return [
        wrapped(
            f"{pair} on {plural(count, f'{part} point')}: both right on {found.both:,}, {first} alone on {found.first:,}, {second} alone on "
            f"{found.second:,}, neither on {found.neither:,}",
            indent="  ",
        ),
        f"  accuracy {first} - {second}: {interval_words(found.difference, 100, '{:+.2f}')} points, McNemar's exact p {p_words(found.difference.p)}",
        f"  NLL {first} - {second}: {interval_words(nll, 1, '{:+.4f}')}, p {p_words(nll.p)} (paired by point)",
        wrapped(
            "  (these two networks; whether their settings differ takes several seeds of each: compare SWEEP SWEEP)",
            indent="  ",
        ),
    ]


def interval_words(found: Paired, factor: float, form: str) -> str:
    return numbers([None if end is None else factor * end for end in (found.mean, found.low, found.high)], form)


def numbers(values: Sequence[float | None], form: str) -> str:
    mean, low, high = values
    return form.format(mean) + ("" if low is None else f" [{form.format(low)}, {form.format(high)}]")


def draw(
    runs: Sequence[RunFolder], results: Sequence[dict[str, Any]], letters: Sequence[str], place: Path
) -> list[Path]:
    """Draw the maps side by side and the curves together, as far as the runs have them."""
    from mlplab.plots.side_by_side import MOST, curves_together, side_by_side
    from mlplab.plots.style import png_bytes
    from mlplab.report.learning import read_curve
    from mlplab.report.maps import read_map

    drawn = []
    names = [f"{letter}: {run.name}" for letter, run in zip(letters, runs)]
    maps = [read_map(run.figures / "arrays.npz") for run in runs[:MOST]]
    alike = all(maps) and len({(one[0].shape, tuple(one[1]), one[2]) for one in maps}) == 1
    if alike:
        accuracies = [(result.get("test") or {}).get("accuracy") for result in results]
        said = ["" if one is None else f"test accuracy {100 * one:.2f} %" for one in accuracies]
        made = side_by_side(
            [one[0] for one in maps],
            maps[0][1],
            names=names,
            subtitles=said,
            title="What the networks learned",
            axis_names=maps[0][2],
        )
        write_bytes(place / "maps.png", png_bytes(made))
        drawn.append(place / "maps.png")
    curves = {}
    for letter, run in zip(letters, runs):
        for train, validation in CURVES:
            one = read_curve(run.metrics, [train])
            other = read_curve(run.metrics, [validation])
            if one is not None:
                epochs = sorted(one[1])
                values = None if other is None else [other[1].get(epoch, math.nan) for epoch in epochs]
                curves[letter] = (epochs, [one[1][epoch] for epoch in epochs], values)
            if other is not None:
                break
    if curves:
        limits = {(result.get("fresh") or result.get("test") or {}).get("bayes_nll") for result in results}
        limit = limits.pop() if len(limits) == 1 else None
        made = curves_together(
            curves,
            title="Learning curves",
            subtitle="line: validation; dashed: training; " + "  ".join(names),
            bayes=limit,
        )
        write_bytes(place / "curves.png", png_bytes(made))
        drawn.append(place / "curves.png")
    return drawn


def markdown(
    runs: Sequence[RunFolder],
    letters: Sequence[str],
    rows: Sequence[Sequence[str]],
    tests: Sequence[str],
    pictures: Sequence[str],
) -> str:
    """Write what was printed as Markdown."""
    from mlplab.words import in_markdown, markdown_table

    parts = ["# Comparison", "", *(f"- {letter}: {in_markdown(run.path)}" for letter, run in zip(letters, runs)), ""]
    parts += ["```text", *differing(runs, letters), "```", ""]
    if len(rows) > 1:
        parts += [markdown_table(rows), ""]
    parts += [*(f"{in_markdown(line.strip())}\n" for line in tests), *(f"![]({name})\n" for name in pictures)]
    return "\n".join(parts).rstrip() + "\n"
