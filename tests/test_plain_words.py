"""Prose in the field's own words, and in British spelling: README files, docstrings and comments."""

import ast
import io
import re
import tokenize

import pytest
from readmes import ROOT, TEXTS

# What the field does not say; what it says stands beside each.
PRIVATE = {
    r"\bwhoever\b": "who, which process",
    "best-known": "selected",
    "cannot be told": "not significantly different",
    r"\btelling\b": "informative",
    "slip of the (hand|pen)": "mistake",
    r"the wish that": "request",
    "are taken for": "mistaken for, count as",
    "box of (the )?(its )?training": "range",
    r"\bbefell\b": "happened to",
    r"\bwhat(ever)? (came|comes) of": "result, outcome",
    r"goes on on\b": "continues on",
    r"\b([Aa]n|any|no|every|some|several|with|of|and|or) own\b(?! [a-z_]+\.)": "a ... of your own, of the lab's own",
}
STEMS = "normali standardi initiali optimi regulari generali recogni organi summari minimi maximi parameteri quanti reali penali utili".split()
AMERICAN = re.compile(
    r"(?<![\w`.=/\"'])(colors?|colored|behaviors?|neighbors?|neighboring|gray|labeled|labeling|modeling|favor\w*|centers?|centered|artifacts?"
    rf"|\w*(?:{'|'.join(STEMS)})z(?:es?|ed|ers?|ing|ations?))(?![\w`=(/\"':]|\.\w)",
    re.IGNORECASE,
)
SOURCES = sorted(
    path
    for folder in ("src", "scripts", "tests")
    for path in (ROOT / folder).rglob("*.py")
    if path.name != "test_plain_words.py"
)


def prose(path) -> str:
    """Give a file's comments and docstrings, without what stands in quotes."""
    source = path.read_text(encoding="utf-8")
    parts = [
        token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            parts.append(ast.get_docstring(node) or "")
    return re.sub(r"`+[^`]*`+|\"[^\"]*\"", "", "\n".join(parts))


def checked(text: str) -> list[str]:
    found = [
        f"{match.group()} (say {plain})" for private, plain in PRIVATE.items() if (match := re.search(private, text))
    ]
    return found + [f"{match} (British spelling)" for match in AMERICAN.findall(text)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_comments_and_docstrings(path):
    assert checked(prose(path)) == []


@pytest.mark.parametrize("name", TEXTS)
def test_readmes(name):
    lines = [
        line
        for line in re.sub(r"```.*?```", "", TEXTS[name], flags=re.DOTALL).splitlines()
        if not line.startswith("    ")
    ]
    assert checked(re.sub(r"`[^`]*`", "", "\n".join(lines))) == []


def test_the_words_are_found():
    assert len(checked("# whoever colours the color of a neighbor, by an optimizer")) == 4
    assert checked("`color`, optimizer: the optimiser, torch.optim.Optimizer, neighbours") == []
