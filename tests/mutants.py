"""Mutants: change one thing at random in a copy of the package, and see whether a test notices.

    scripts/lab test --cov=mlplab --cov-context=test --cov-report=
    .venv/bin/python tests/mutants.py 100 .coverage [seed=0] [shard=0/2] [again=FILE]

Each mutant of nn/, population/, data/ and runs/ meets up to 60 of the tests that run its line, the nearest first: those
of its module's own test file, of files that import it, of the room; few cases of one test, and those that run little
else. Where none is known it meets the files that name its module. Printed are the survivors and the share that was
killed; `again` tries those once more that a printed list says survived. Mutants that change nothing that could be
noticed stand with a reason in equivalent_mutants.json.
"""

import ast
import importlib
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("nn", "population", "data", "runs")
MOST_TESTS, MOST_CASES, MOST_FILES = 60, 4, 6
CPU_S, WALL_S = 300, 1800
# What the tests import of others' packages, once for all: each run of tests is a fork of this process.
OTHERS = ("pytest", "torch", "lightning", "omegaconf", "matplotlib.figure", "matplotlib.backends.backend_agg")
OTHERS += ("scipy.stats", "scipy.optimize", "tensorboard.backend.event_processing.event_accumulator", "torchmetrics")
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


def equivalents(path=ROOT / "tests" / "equivalent_mutants.json"):
    """Read the reasons of mutants that nothing could notice, by (text of the line, change): files may be moved."""
    return {(line, change): reason for line, change, reason in json.loads(path.read_text(encoding="utf-8"))}


def sources():
    return [path for room in ROOMS for path in sorted((ROOT / "src" / "mlplab" / room).glob("*.py"))]


class Runs:
    """Which tests run which line, by the contexts of a coverage file."""

    def __init__(self, coverage):
        from coverage import CoverageData

        data = CoverageData(coverage)
        data.read()
        # Another checkout's file is known by what follows src/mlplab.
        files = {file.rpartition("/src/mlplab/")[2]: file for file in data.measured_files()}
        self.of = {
            name: {
                line: sorted({context.split("|")[0] for context in found if "::" in context})
                for line, found in data.contexts_by_lineno(file).items()
            }
            for name, file in files.items()
            if name.split("/")[0] in ROOMS
        }
        self.lines = Counter(test for lines in self.of.values() for tests in lines.values() for test in tests)

    def tests(self, path, line):
        """List the tests that run a line, the nearest first, and as many others at random as there is room for."""
        ran = self.of.get(path.relative_to(ROOT / "src" / "mlplab").as_posix(), {}).get(line, [])
        near = {file: nearness(path, file) for file in {test.partition("::")[0] for test in ran}}
        ran = sorted(ran, key=lambda test: (near[test.partition("::")[0]], self.lines[test], test))
        cases, first, rest = Counter(), [], []
        for test in ran:
            function = test.partition("[")[0]
            cases[function] += 1
            (first if cases[function] <= MOST_CASES else rest).append(test)
        far = first[MOST_TESTS * 3 // 4 :] + rest
        random.Random(line).shuffle(far)
        return (first[: MOST_TESTS * 3 // 4] + far)[:MOST_TESTS]


def nearness(path, file):
    """Say how near a test file is to a module: 0 its own, 1 imports it, 2 imports its room, 3 neither."""
    if path.stem in Path(file).stem:
        return 0
    text, (package, _, name) = (ROOT / file).read_text(encoding="utf-8"), module_of(path).rpartition(".")
    if re.search(rf"{re.escape(package)}\.{name}\b|from {re.escape(package)} import .*\b{name}\b", text):
        return 1
    return 2 if package in text else 3


def module_of(path):
    return f"mlplab.{path.relative_to(ROOT / 'src' / 'mlplab').with_suffix('').as_posix().replace('/', '.')}"


def files_naming(path):
    """List the test files that name a module."""
    files = sorted((ROOT / "tests").glob("test_*.py"))
    names = [str(file.relative_to(ROOT)) for file in files]
    return [name for name in sorted(names, key=lambda name: nearness(path, name)) if nearness(path, name) < 2][
        :MOST_FILES
    ]


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
        if not failed:
            return True
        known = set(failed) <= set(tests)  # else the run itself failed, or did not end
        if not failing(copy, failed if known else tests):
            return False
        if not known:
            return None
        tests = [test for test in tests if test not in failed]
    return None


def failing(copy, tests):
    """Run tests in a fork; list the first that fails, those that are not there, or the run where that itself fails."""
    told = copy.parent / "told"
    child = os.fork()
    if not child:
        try:
            os.setsid()
            out = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1), os.dup2(out, 2)
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 5))
            os.chdir(copy)
            os.environ |= {
                "PYTHONPATH": f"{copy / 'src'}:{os.environ.get('PYTHONPATH', '')}",
                "PYTHONDONTWRITEBYTECODE": "1",
            }
            sys.dont_write_bytecode = True
            sys.path[:] = [str(copy / "src"), *(place for place in sys.path if place != str(ROOT / "src"))]
            code = sys.modules["pytest"].main(["-x", "-q", "-n", "0", "-p", "no:cacheprovider", *tests])
            sys.stdout.flush()
            os._exit(code)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(70)
    until = time.monotonic() + WALL_S
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.05)
    if ended[1] == 0:
        return []
    text = told.read_text(errors="replace")
    gone = re.findall(r"^ERROR: not found: \S*?(tests/.+)$", text, re.MULTILINE)
    found = gone or re.findall(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", text, re.MULTILINE)[:1]
    # Where a file cannot be read, all of its tests; the whole file where it was given as such.
    files = {name.partition("::")[0] for name in found}
    return [test for test in tests if test in found or test in files or test.partition("::")[0] in found] or ["the run"]


def main(count, coverage, seed=0, shard="0/1", again=None):
    runs, known = Runs(coverage), equivalents()
    every = [(path, *mutant) for path in sources() for mutant in mutants(path)]
    chosen = random.Random(int(seed)).sample(every, int(count))
    if again is not None:
        left = re.findall(r"^SURVIVED  (\S+)  (.*)  \(\d+ tests\)$", Path(again).read_text(), re.MULTILINE)
        chosen = [one for one in every if (f"{name_of(one[0])}:{one[1]}", one[2]) in left]
    for name in OTHERS:
        importlib.import_module(name)
    this, of = map(int, shard.split("/"))
    counts = Counter()
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "copy"
        ignored = shutil.ignore_patterns(".git", ".venv", "logs", "__pycache__")
        shutil.copytree(ROOT, copy, ignore=ignored, symlinks=True)
        (copy / "logs").mkdir()
        shutil.copy(ROOT / "logs" / "README.md", copy / "logs")
        for number, (path, line, words, before, after) in enumerate(chosen):
            if number % of != this:
                continue
            text = before.decode().splitlines()[line - 1].strip()
            reason = known.get((text, words))
            tests = runs.tests(path, line) or files_naming(path)
            left = None if reason else survives(copy, path, after, tests)
            verdict = "equivalent" if reason else {False: "killed", True: "SURVIVED", None: "NO TEST"}[left]
            counts[verdict] += 1
            print(f"{verdict}  {name_of(path)}:{line}  {words}  ({reason or f'{len(tests)} tests'})", flush=True)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    print(f"{told}; of {len(every):,} possible ones")


def name_of(path):
    return str(path.relative_to(ROOT / "src" / "mlplab"))


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[3:])
    main(sys.argv[1], sys.argv[2], **given)
