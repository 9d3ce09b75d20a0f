"""One self-contained HTML file from a page's template: its scripts and styles put in, its data escaped."""

import base64
import html
import json
import re
from collections.abc import Mapping
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
