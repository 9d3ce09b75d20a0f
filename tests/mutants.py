"""The suite's own eye: change one thing at random in a copy of the package, and see whether a test notices.

    python -m pip install pytest-cov
    python -m pytest --cov=mlplab --cov-branch --cov-context=test --cov-report=
    python tests/mutants.py 100 .coverage [seed=0] [shard=0/2]

Each mutant of nn/, population/, data/ and runs/ meets the tests that run its line, up to 60 of them, or where none is
known those files that name its module. It prints what survived and the share that was killed.
"""

import ast
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from coverage import CoverageData

ROOT = Path(__file__).parents[1]
ROOMS = ("nn", "population", "data", "runs")
MOST_TESTS, MOST_FILES, SECONDS = 60, 6, 240
SWAPS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.USub: ast.UAdd,
}


def mutants(path):
    """List (line, what is done, text before, text after) of a file: each a change of one expression."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    told = set()  # words for people, and types, are no behaviour
    for node in ast.walk(tree):
        quiet = []
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert):
            quiet = [node]
        elif isinstance(node, ast.FunctionDef):
            quiet = [part.annotation for part in (*node.args.args, *node.args.kwonlyargs) if part.annotation] + [
                node.returns
            ]
        elif isinstance(node, ast.AnnAssign):
            quiet = [node.annotation]
        told |= {id(part) for root in quiet if root is not None for part in ast.walk(root)}
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found, data = [], text.encode()
    for node in ast.walk(tree):
        if id(node) in told:
            continue
        before = ast.unparse(node) if isinstance(node, ast.expr) else ""
        after = changed(node)
        if after is not None and after != before:
            a, b = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
            found.append(
                (node.lineno, f"{before[:70]} -> {after[:70]}", data, data[:a] + f"({after})".encode() + data[b:])
            )
    return found


def changed(node):
    """Give the text of an expression changed in one place, or None where nothing is to be changed."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        return ast.unparse(ast.Compare(node.left, [SWAPS[type(node.ops[0])](), *node.ops[1:]], node.comparators))
    if (
        isinstance(node, ast.BinOp)
        and type(node.op) in SWAPS
        and not isinstance(node.left, ast.JoinedStr | ast.Constant)
    ):
        return ast.unparse(ast.BinOp(node.left, SWAPS[type(node.op)](), node.right))
    if isinstance(node, ast.BoolOp):
        return ast.unparse(ast.BoolOp(SWAPS[type(node.op)](), node.values))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ast.unparse(node.operand)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return ast.unparse(node.operand)
    if isinstance(node, ast.IfExp):
        return ast.unparse(ast.IfExp(node.test, node.orelse, node.body))
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return str(not node.value)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return repr(node.value + 1)
    return None


def tests_of(path, line, data):
    """Name the tests that run a line of a file; without knowledge of them the test files that name its module."""
    ran = data.contexts_by_lineno(str(path)).get(line, []) if data else []
    names = sorted({context.split("|")[0] for context in ran if "::" in context})
    if names:
        own = [name for name in names if path.stem in name]
        rest = [name for name in names if name not in own]
        random.Random(line).shuffle(rest)
        return (own + rest)[:MOST_TESTS]
    module = f"mlplab.{path.relative_to(ROOT / 'src' / 'mlplab').with_suffix('').as_posix().replace('/', '.')}"
    package, _, name = module.rpartition(".")
    pattern = re.compile(rf"{re.escape(module)}\b|from {re.escape(package)} import .*\b{name}\b")
    files = [
        file for file in sorted((ROOT / "tests").glob("test_*.py")) if pattern.search(file.read_text(encoding="utf-8"))
    ]
    return [str(file.relative_to(ROOT)) for file in files[:MOST_FILES]]


def survives(copy, path, after, tests):
    """Say whether the tests pass on a copy whose file is changed: True, False, or None where there is no test.

    A test that fails on the unchanged copy too is left out.
    """
    target, tests = copy / path.relative_to(ROOT), list(tests)
    before = target.read_bytes()
    while tests:
        target.write_bytes(after)
        failed = failing(copy, tests)
        target.write_bytes(before)
        if failed is None:
            return True
        if failed not in tests or failing(copy, [failed]) is None:
            return False
        tests.remove(failed)
    return None


def failing(copy, tests):
    """Run tests; name the first that fails, or the first of all where the run itself fails or hangs; None where none does."""
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(words, cwd=copy, env=environment(copy), capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return "too long"
    found = re.search(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    return None if done.returncode == 0 else found[1] if found else "the run"


def environment(copy):
    return os.environ | {
        "PYTHONPATH": f"{copy / 'src'}:{os.environ.get('PYTHONPATH', '')}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def main(count, coverage, seed=0, shard="0/1"):
    data = CoverageData(coverage)
    try:
        data.read()
    except sqlite3.Error:
        data = None
    files = [path for room in ROOMS for path in sorted((ROOT / "src" / "mlplab" / room).glob("*.py"))]
    every = [(path, *mutant) for path in files for mutant in mutants(path)]
    chosen = random.Random(int(seed)).sample(every, int(count))
    this, of = map(int, shard.split("/"))
    killed = tried = 0
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "copy"
        shutil.copytree(
            ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "logs", "__pycache__"), symlinks=True
        )
        for number, (path, line, words, _, after) in enumerate(chosen):
            if number % of != this:
                continue
            tests = tests_of(path, line, data)
            left = survives(copy, path, after, tests)
            tried, killed = tried + 1, killed + (left is False)
            name = f"{path.relative_to(ROOT / 'src' / 'mlplab')}:{line}"
            print(
                f"{'killed' if left is False else 'SURVIVED' if left else 'NO TEST'}  {name}  {words}  ({len(tests)} tests)",
                flush=True,
            )
    print(f"{killed} of {tried} killed, of {len(every):,} possible ones")


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[3:])
    main(sys.argv[1], sys.argv[2], **given)
