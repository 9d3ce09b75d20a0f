"""One of a thing is never written as several: "1 jobs"."""

import ast
from pathlib import Path

import pytest

from mlplab.words import plural

SOURCE = Path(__file__).parents[1] / "src" / "mlplab"
NOUNS = "jobs settings runs trials rows points networks neurons inputs values pairs seeds draws folders layers sweeps".split()
# Words of which there are two or more wherever these lines are reached, or that no person reads.
SEVERAL = {"benchmarks", "faults"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((0, "job"), "0 jobs"),
        ((1, "job"), "1 job"),
        ((1000, "job"), "1,000 jobs"),
        ((2, "class"), "2 classes"),
        ((1, "class"), "1 class"),
        ((1, "run has", "runs have"), "1 run has"),
        ((3, "run has", "runs have"), "3 runs have"),
    ],
)
def test_a_number_and_its_noun(given, words):
    assert plural(*given) == words


def counted(path: Path):
    """Yield the f-strings that write a number and a plural without asking how many there are."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = {
        id(inner) for node in ast.walk(tree) if isinstance(node, ast.IfExp | ast.Raise) for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr) or id(node) in guarded:
            continue
        for value, after in zip(node.values, node.values[1:]):
            if not (isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant)):
                continue
            words = after.value.split(" ")
            name = value.value
            number = (
                isinstance(name, ast.Call) and isinstance(name.func, ast.Name) and name.func.id in ("len", "sum", "int")
            )
            number |= isinstance(name, ast.Name) and name.id in ("count", "number", "runs", "jobs", "done", "total")
            number |= value.format_spec is not None and ast.unparse(value.format_spec).endswith("{,}'")
            if number and words[0] == "" and len(words) > 1 and words[1].strip(",.;:()") in NOUNS:
                yield f"{path.relative_to(SOURCE)}:{node.lineno}: {ast.unparse(node)}"


def test_whoever_writes_a_number_of_things_asks_for_its_plural():
    files = [path for path in SOURCE.rglob("*.py") if path.parent.name not in SEVERAL]
    assert [line for path in files for line in counted(path)] == []
