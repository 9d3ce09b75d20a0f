"""A sweep's report as one self-contained page: words, figures and a table that sorts by its columns."""

import base64
import html
from collections.abc import Sequence

STYLE = """
:root { --ink: #1b1d24; --muted: #5d6371; --faint: #e2e4e9; --paper: #fdfbf8; --near: #fff3d9; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1460px; margin: 0 auto; padding: 32px 24px 80px; }
h1 { margin: 0 0 4px; font-size: 28px; } h2 { margin: 40px 0 12px; font-size: 20px; }
p.lead { margin: 4px 0; } p.muted, figcaption, li { color: var(--muted); }
figure { max-width: 1180px; margin: 20px 0; padding: 12px; background: #fff; border: 1px solid var(--faint);
  border-radius: 6px; }
figure img { display: block; width: 100%; height: auto; } figcaption { font-size: 14px; padding-top: 6px; }
.scroll { overflow-x: auto; border: 1px solid var(--faint); border-radius: 6px; background: #fff; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--faint); }
th { position: sticky; top: 0; background: #fff; cursor: pointer; } th:hover { color: #3f90da; }
tr.near td { background: var(--near); } tr.best td { background: var(--near); font-weight: 700; }
code { background: #f1efeb; padding: 1px 4px; border-radius: 3px; overflow-wrap: anywhere; }
"""

# Sorts by the number at the start of a cell, else by its text; a second click turns the order round.
SCRIPT = """
document.querySelectorAll("th").forEach(head => head.addEventListener("click", () => {
  const body = head.closest("table").tBodies[0], column = head.cellIndex;
  const sign = head.dataset.sign = head.dataset.sign === "1" ? "-1" : "1";
  const key = row => row.cells[column].textContent;
  const order = (a, b) => {
    const x = parseFloat(key(a).replaceAll(",", "")), y = parseFloat(key(b).replaceAll(",", ""));
    if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y) || key(a).localeCompare(key(b));
    return x - y;
  };
  [...body.rows].sort((a, b) => sign * order(a, b)).forEach(row => body.append(row));
}));
"""


def sweep_page(
    title: str,
    lead: Sequence[str],
    figures: Sequence[tuple[str, str, bytes]],
    header: Sequence[str],
    rows: Sequence[tuple[str, Sequence[str]]],
    sections: Sequence[tuple[str, Sequence[str]]] = (),
) -> str:
    """Build the page; everything is escaped, nothing is fetched from elsewhere.

    Args:
        title: of the page.
        lead: sentences at the top.
        figures: (name, caption, PNG bytes) each.
        header: of the table.
        rows: (``"best"``, ``"near"`` or ``""``, cells) each.
        sections: (heading, lines) each, after the table; those without lines are left out.

    Returns:
        The HTML.
    """
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body><main>",
        f"<h1>{html.escape(title)}</h1>",
        *(f'<p class="lead">{html.escape(line)}</p>' for line in lead),
    ]
    for name, caption, image in figures:
        source = base64.b64encode(image).decode()
        alt = html.escape(f"{name}: {caption}", quote=True)
        parts.append(
            f'<figure><img alt="{alt}" src="data:image/png;base64,{source}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )
    parts.append(
        '<h2>Settings</h2><p class="muted">A click on a heading sorts by its column. Shaded settings'
    )
    parts.append("are not significantly different from the selected one at this number of seeds.</p>")
    parts.append('<div class="scroll"><table><thead><tr>')
    parts += [f"<th>{html.escape(name)}</th>" for name in header]
    parts.append("</tr></thead><tbody>")
    for kind, cells in rows:
        row = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        parts.append(f'<tr class="{html.escape(kind, quote=True)}">{row}</tr>')
    parts.append("</tbody></table></div>")
    for heading, lines in sections:
        if lines:
            items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
            parts.append(f"<h2>{html.escape(heading)}</h2><ul>{items}</ul>")
    parts.append(f"</main><script>{SCRIPT}</script></body></html>\n")
    return "\n".join(parts)
