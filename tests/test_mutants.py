"""The mutants of ``mutations.py`` are changes of one expression, and its reasons are about mutants that there are."""

import ast
import random
from functools import cache

import mutations
import pytest

of = cache(mutations.mutants)


@pytest.mark.parametrize("line, change", mutations.equivalents(), ids=str)
def test_a_reason_is_about_a_mutant_that_there_is(line, change):
    files = [path for path in mutations.sources() if line in path.read_text(encoding="utf-8")]
    there = [
        (path.read_text(encoding="utf-8").splitlines()[number - 1].strip(), words)
        for path in files
        for number, words, _, _ in of(path)
    ]
    assert (line, change) in there and mutations.equivalents()[line, change]


@pytest.mark.parametrize("room", mutations.ROOMS)
def test_a_mutant_is_python_and_differs(room):
    draw = random.Random(0)
    for path in sorted((mutations.ROOT / "src" / "mlplab" / room).glob("*.py")):
        every = of(path)
        for number, words, before, after in draw.sample(every, min(2, len(every))):
            assert ast.dump(ast.parse(after)) != ast.dump(ast.parse(before)), f"{path}:{number} {words}"


def test_the_kinds_of_change(tmp_path):
    path = tmp_path / "module.py"
    path.write_text('def f(a: int = 1, b=-2.0):\n    assert a > 0\n    return not a < b or [True, "x"]\n')
    assert {words for _, words, _, _ in mutations.mutants(path)} == {
        "1 -> 2",
        "2.0 -> 3.0",
        "-2.0 -> 2.0",
        "not a < b or [True, 'x'] -> not a < b and [True, 'x']",
        "not a < b -> a < b",
        "a < b -> a <= b",
        "True -> False",
    }


def test_equal_changes_of_one_line_are_told_apart(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("x = [1, 1]\ny = 1\n")
    found = [(line, words, after.decode()) for line, words, _, after in mutations.mutants(path)]
    assert sorted(found) == [
        (1, "1 -> 2", "x = [(2), 1]\ny = 1\n"),
        (1, "1 -> 2 #2", "x = [1, (2)]\ny = 1\n"),
        (2, "1 -> 2", "x = [1, 1]\ny = (2)\n"),
    ]
