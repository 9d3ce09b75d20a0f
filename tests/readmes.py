"""The README files, one in each folder that a reader opens: their text, code blocks, commands and links."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(
    [
        *(ROOT / folder / "README.md" for folder in (".", "conf", "logs", "scripts", "tests")),
        *(ROOT / "src").rglob("*.md"),
    ]
)
TEXTS = {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in FILES}
TEXT = "\n".join(TEXTS.values())
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = sorted(
    {
        line.split("  #")[0].strip()
        for line in TEXT.replace("\\\n", " ").splitlines()
        if re.match(" {4}(scripts/lab|python|[.]venv/bin/python) ", line)
    }
)


def anchors(text: str) -> set[str]:
    """Give what a link may name after its #: the headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(text: str) -> list[str]:
    """Give the targets of links and pictures that are no addresses of the web."""
    return [
        target
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        if "://" not in target
    ]
