"""The figure of a sweep that classifies nothing: what it measured against the swept keys."""

from mlplab.plots.measured import MOST, MOST_LINES, measured_chart
from mlplab.report.axes import axes_of, plain
from mlplab.report.drawing import Drawing, over_seeds
from mlplab.report.studies import measured, series
from mlplab.report.table import Table
from mlplab.words import plural, thinned


def draw_study(table: Table) -> tuple[list[Drawing], list[str]]:
    """Draw what the results measure against the swept key of most numbers, lines by the next one."""
    columns, axes = measured(table), axes_of(table)
    if not columns:
        return [], ["No figure is drawn: the results measure no number that differs."]
    if not axes:
        return [], ["No figure is drawn: there is one setting."]
    axes = sorted(axes, key=lambda axis: (not axis.is_number, -len(axis.values)))
    charts = [(name.replace("_", " "), series(axes, column)) for name, column in columns[:MOST]]
    about = over_seeds(table, "mean")
    count = max(len(lines) for _, lines in charts)
    if count > MOST_LINES:
        kept = thinned(range(count), MOST_LINES)
        charts = [(name, [lines[place] for place in kept if place < len(lines)]) for name, lines in charts]
        about += f"  ·  {len(kept)} of {plural(count, 'line')}"
    without = []
    if len(columns) > MOST:
        without.append(f"Of {len(columns)} numbers that differ, {MOST} are drawn; the table has the others.")
    made = measured_chart(
        charts,
        x_name=axes[0].name,
        line_name=", ".join(map(plain, axes[1:])),
        title=f"What was measured, against {plain(axes[0])}",
        subtitle=about,
    )
    return [Drawing("measured", f"What the runs measured against {plain(axes[0])}.", made)], without
