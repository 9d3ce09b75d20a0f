"""Mutants: change one thing at random in a copy of the package, and see whether a test notices.

    scripts/lab test --cov --cov-context=test --cov-report=
    .venv/bin/python tests/mutants.py 100 .coverage [seed=0] [shard=0/2] [again=FILE] [only=data/labels] [seconds=60]

Each mutant of nn/, population/, data/ and runs/ meets up to 60 of the tests that run its line, for a minute, the
nearest first: those of its module's own test file, of files that import it, of the room; few cases of one test, and
those that run little else. Where none is known, or what it changes is done while the module is imported, it meets the
files that name its module, the smallest first. A test kills it that fails on it twice and passes without it. Printed
are the verdicts and how many there are of each; `again` tries those once more that a printed list says survived,
`only` takes those of some modules. Mutants that change nothing that could be noticed stand with a reason in
equivalent_mutants.json.

The tests are collected once. Each mutant is a fork in which the function that it changes gets its new code, as all
that tests start themselves reads the changed file; where more than functions change, the tests are collected anew.
"""

import ast
import gc
import importlib
import inspect
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections import Counter
from contextlib import suppress
from functools import cache
from pathlib import Path

from mutations import ROOMS, ROOT, equivalents, mutants, name_of, sources

MOST_TESTS, MOST_CASES, MOST_FILES = 60, 4, 12
# Seconds that a mutant's tests take together, where none fails; and a single one of them, in the worst case.
TESTS_S, WALL_S = 60, 180
SLOW_S = 1  # what takes longer is left to the end
MOST_BYTES = 32 << 30
# What the tests import of others' packages, once for all: each run of tests is a fork of this process.
OTHERS = ("pytest", "torch", "lightning", "omegaconf", "matplotlib.figure", "matplotlib.backends.backend_agg")
OTHERS += ("scipy.stats", "scipy.optimize", "tensorboard.backend.event_processing.event_accumulator", "torchmetrics")


class Runs:
    """Which tests run which line, by the contexts of coverage files; a line is known by its text, wherever it was moved.

    Args:
        coverage: the files, with commas; each perhaps with @COMMIT, whose text was measured where it is not today's.
    """

    def __init__(self, coverage):
        from coverage import CoverageData

        contexts, of_file = {}, {}
        for word in coverage.split(","):
            path, _, commit = word.partition("@")
            data = CoverageData(path)
            data.read()
            for file in data.measured_files():
                # Another checkout's file is known by what follows src/mlplab.
                name = file.rpartition("/src/mlplab/")[2]
                text = text_of(name, commit) if name.split("/")[0] in ROOMS else []
                for line, found in data.contexts_by_lineno(file).items():
                    if line <= len(text):
                        contexts.setdefault((name, text[line - 1].strip()), set()).update(filter(None, found))
        for found in contexts.values():
            for context in found:
                of_file.setdefault(context.partition("::")[0], set()).add(context.rpartition("|")[0])
        self.of = {}
        for (name, text), found in contexts.items():
            # What one test sets up is looked at by the others of its file too.
            set_up = {context.partition("::")[0] for context in found if context.endswith("|setup")}
            ran = {context.rpartition("|")[0] for context in found}.union(*(of_file[file] for file in set_up))
            for place in ((name, text), ("", text)):
                self.of.setdefault(place, set()).update(ran)
        self.lines = Counter(test for (name, _), tests in self.of.items() if name for test in tests)

    def tests(self, path, line, text, below=False):
        """List the tests that run a line, the nearest first, and as many others at random as there is room for."""
        # A line within an expression may be known by one above it alone, and a function by its first one below.
        near = range(line, min(line + 60, len(text))) if below else range(line - 1, max(line - 9, -1), -1)
        places = [(name, text[number].strip()) for name in (name_of(path), "") for number in near]
        ran = next((self.of[place] for place in places if self.of.get(place)), set())
        files = {test.partition("::")[0] for test in ran}
        far = {file: nearness(path, file) for file in files if (ROOT / file).is_file()}
        ran = [test for test in ran if test.partition("::")[0] in far]
        ran.sort(key=lambda test: (far[test.partition("::")[0]], self.lines[test], test))
        cases, first, rest = Counter(), [], []
        for test in ran:
            function = test.partition("[")[0]
            cases[function] += 1
            (first if cases[function] <= MOST_CASES else rest).append(test)
        far = first[MOST_TESTS * 3 // 4 :] + rest
        random.Random(line).shuffle(far)
        chosen = (first[: MOST_TESTS * 3 // 4] + far)[:MOST_TESTS]
        files = list(dict.fromkeys(test.partition("::")[0] for test in chosen))
        return sorted(
            chosen, key=lambda test: files.index(test.partition("::")[0])
        )  # what a file shares is set up once


def text_of(name, commit):
    """Give the lines of a file of the package, today's or a commit's."""
    if not commit:
        path = ROOT / "src" / "mlplab" / name
        return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    git = ["git", "-C", ROOT, "show", f"{commit}:src/mlplab/{name}"]
    return subprocess.run(git, capture_output=True, check=False, text=True).stdout.splitlines()


@cache
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
    """List the test files that name a module or its room: its own first, then those that import it, then the smallest."""
    near = {file: nearness(path, str(file.relative_to(ROOT))) for file in (ROOT / "tests").glob("test_*.py")}
    files = sorted((file for file in near if near[file] < 3), key=lambda file: (near[file], file.stat().st_size))
    return [str(file.relative_to(ROOT)) for file in files[:MOST_FILES]]


class Trials:
    """Runs of tests, each in a fork of this process, on a copy of the package that has a mutant or none.

    Args:
        copy: folder of the copy.
        seconds: that a run of tests may take.
        session: of pytest, whose tests were collected without a mutant; None to collect them in each fork.
    """

    def __init__(self, copy, seconds, session=None):
        self.copy, self.seconds, self.session, self.count = copy, seconds, session, 0
        self.sound, self.took = {}, {}  # of tests without a mutant: whether they pass, and the seconds they took

    def verdict(self, path, after, tests):
        """Say "killed", "SURVIVED", or "NO TEST" where none can be run or passes without the mutant."""
        met, begin = 0, time.monotonic()
        slow_last = sorted(tests, key=lambda test: self.took.get(test, 0) > SLOW_S)
        files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
        groups = [[test for test in tests if test.partition("::")[0] == file] for file in files]
        # Where the tests are collected anew, a file at a time: the first mostly notices.
        for group in [slow_last] if self.session else groups:
            while group and time.monotonic() < begin + 2 * self.seconds:
                failed, died, passed = self.run(group, path, after)
                met += passed
                if failed is None:
                    break
                blamed = (failed,) if failed else tuple(group)
                if blamed not in self.sound:
                    self.sound[blamed] = self.run(blamed)[0] is None
                if self.sound[blamed] and (died or self.run(blamed, path, after)[0] is not None):
                    return "killed"
                group = group[group.index(failed) + 1 :] if failed in group else []
        return "SURVIVED" if met else "NO TEST"

    def run(self, tests, path=None, after=None):
        """Run tests until one fails; give its name ("" where there is none to blame), whether the run died, how many passed."""
        self.count += 1
        told, before = self.copy.parent / "told", None
        told.write_text("")
        if path is not None:
            target = self.copy / path.relative_to(ROOT)
            before = target.read_bytes()
            target.write_bytes(after)
            os.utime(target, (self.count, self.count))  # or what was compiled of another mutant may be taken for it
        child = os.fork()
        if not child:
            try:
                self._child(tests, told, *(() if before is None else (target, before, after)))
            finally:
                os._exit(70)
        until = time.monotonic() + WALL_S
        while not os.waitpid(child, os.WNOHANG)[0]:
            if time.monotonic() > until:
                os.killpg(child, signal.SIGKILL)
            time.sleep(0.01)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        if before is not None:
            target.write_bytes(before)
        lines = [json.loads(line) for line in told.read_text().splitlines(keepends=True) if line.endswith("\n")]
        passed = {name: seconds for word, name, seconds in lines if word == "passed"}
        self.took |= passed
        word, last, _ = lines[-1] if lines else ("begun", "", 0)
        if word != "ended":
            return (last if word == "begun" else ""), True, len(passed)
        return next((name for word, name, _ in lines if word == "failed"), None), False, len(passed)

    def _child(self, tests, told, target=None, before=None, after=None):
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        if self.session is None:
            meeting = Meeting(lambda session: meet(session, tests, told, self.seconds))
            sys.modules["pytest"].main([*OPTIONS, *{test.partition("::")[0] for test in tests}], plugins=[meeting])
            if not meeting.began:
                told.write_text('["failed", "", 0]\n["ended", "", 0]\n')
            return
        if target is not None:
            codes = new_code(before, after)
            give_code(str(target), codes) if codes is not None else give_defaults(str(target), after)
        meet(self.session, tests, told, self.seconds)


class Meeting:
    """A plugin of pytest: what to do with the tests once they are collected."""

    def __init__(self, task):
        self.task, self.began = task, False

    def pytest_runtestloop(self, session):
        self.began = not session.testsfailed
        if self.began:
            self.task(session)
        return True


def meet(session, tests, told, seconds):
    """Run tests, or all of files, one by one until one fails or the time is over, and write how each ended."""
    by_name, until = {}, time.monotonic() + seconds
    for item in session.items:
        by_name.setdefault(item.nodeid, []).append(item)
        by_name.setdefault(item.nodeid.partition("::")[0], []).append(item)
    there = [item for test in tests for item in by_name.get(test, ())]
    with told.open("a", buffering=1) as file:

        def tell(word, name="", begin=0):
            print(json.dumps([word, name, time.monotonic() - begin]), file=file)

        for item, following in zip(there, [*there[1:], None]):
            begin = time.monotonic()
            tell("begun", item.nodeid)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            tell("failed" if session.testsfailed else "passed", item.nodeid, begin)
            if session.testsfailed or time.monotonic() > until:
                break
        tell("ended")


def new_code(before, after):
    """Give the new code of each function that differs between two texts of a module, or None where more differs."""
    old, new = ([], [])
    shells = [shell(compile(text, "module", "exec"), found) for text, found in ((before, old), (after, new))]
    keys = [(code.co_qualname, code.co_firstlineno) for code in old]
    if shells[0] != shells[1] or len(new) != len(old):
        return None
    changed = {key: two for key, one, two in zip(keys, old, new) if one != two}
    return None if any(keys.count(key) > 1 for key in changed) else changed


def shell(code, found):
    """Give what a module or class does besides its functions, and note these in a list."""
    parts = [part for part in code.co_consts if isinstance(part, types.CodeType)]
    functions = [part for part in parts if part.co_flags & inspect.CO_OPTIMIZED]
    found += functions
    inner = [shell(part, found) for part in parts if part not in functions]
    plain = [repr(part) for part in code.co_consts if not isinstance(part, types.CodeType)]
    return code.co_code, plain, code.co_names, [part.co_qualname for part in parts], inner


def give_code(file, codes):
    """Let each living function of a file run its new code."""
    for function in living_functions():
        code = function.__code__
        if code.co_filename == file and (code.co_qualname, code.co_firstlineno) in codes:
            function.__code__ = codes[code.co_qualname, code.co_firstlineno]


def in_defaults(before, after):
    """Say whether two texts of a module differ in the defaults of functions alone."""
    trees = [ast.parse(text) for text in (before, after)]
    for node in (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.arguments)):
        node.defaults, node.kw_defaults = [], []
    return ast.dump(trees[0]) == ast.dump(trees[1])


def give_defaults(file, text):
    """Let each living function of a file have the defaults that another text of the file gives it."""
    name = next(name for name, module in sys.modules.items() if getattr(module, "__file__", None) == file)
    space = {"__name__": name, "__file__": file}
    exec(compile(text, file, "exec"), space)
    living = [thing for thing in living_functions() if thing.__code__.co_filename == file]
    key = lambda function: (function.__code__.co_qualname, function.__code__.co_firstlineno)
    new = {key(function): function for function in living if function.__globals__ is space}
    for function in living:
        if key(function) in new:
            function.__defaults__ = new[key(function)].__defaults__
            function.__kwdefaults__ = new[key(function)].__kwdefaults__


def living_functions():
    """List the functions of this process."""
    gc.unfreeze()
    found = [thing for thing in gc.get_objects() if type(thing) is types.FunctionType]
    gc.freeze()
    return found


OPTIONS = ("-x", "-q", "-n", "0", "-p", "no:cacheprovider")


def main(count, coverage, seed=0, shard="0/1", again=None, only="", seconds=TESTS_S):
    runs, known = Runs(coverage), equivalents()
    every = [(path, *mutant) for path in sources() for mutant in mutants(path)]
    some = [one for one in every if name_of(one[0]).startswith(tuple(only.split(",")))]
    chosen = random.Random(int(seed)).sample(some, min(int(count), len(some)))
    if again is not None:
        left = re.findall(r"^SURVIVED  (\S+)  (.*)  \(\d+ (?:tests|files)\)$", Path(again).read_text(), re.MULTILINE)
        chosen = [one for one in every if (f"{name_of(one[0])}:{one[1]}", one[2]) in left]
    this, of = map(int, shard.split("/"))
    counts, wholes, functions, out = Counter(), [], [], os.fdopen(os.dup(1), "w", buffering=1)

    def tell(verdict, path, line, words, reason):
        counts[verdict] += 1
        print(f"{verdict}  {name_of(path)}:{line}  {words}  ({reason})", file=out)

    for path, line, words, before, after in chosen[this::of]:
        text = before.decode().splitlines()
        reason = known.get((text[line - 1].strip(), words))
        # What a module does while it is imported is of no test in particular; defaults are of those that run the function.
        defaults = new_code(before, after) is None and in_defaults(before, after)
        whole = new_code(before, after) is None and not defaults
        tests = [] if whole else runs.tests(path, line, text, below=defaults)[: 20 if defaults else MOST_TESTS]
        tests += files_naming(path) if defaults or not tests else []
        if reason:
            tell("equivalent", path, line, words, reason)
        else:
            (wholes if whole else functions).append((path, line, words, after, tests))

    def judge(trials, mutants):
        for path, line, words, after, tests in mutants:
            if trials.session and not all("::" in test for test in tests):  # of files, those that run little first
                names = dict.fromkeys(item.nodeid for item in trials.session.items)
                tests = [name for name in names if name in tests or name.partition("::")[0] in tests]
                tests.sort(key=lambda test: runs.lines[test])
            met = f"{len(tests)} {'tests' if '::' in tests[0] else 'files'}" if tests else "no tests"
            tell(trials.verdict(path, after, tests), path, line, words, met)

    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "copy"
        ignored = shutil.ignore_patterns(".git", ".venv", "logs", "__pycache__")
        shutil.copytree(ROOT, copy, ignore=ignored, symlinks=True)
        (copy / "logs").mkdir()
        shutil.copy(ROOT / "logs" / "README.md", copy / "logs")
        (copy.parent / "temporary").mkdir()
        os.environ |= {"PYTHONPATH": f"{copy / 'src'}:{os.environ.get('PYTHONPATH', '')}"}
        tempfile.tempdir = os.environ["TMPDIR"] = str(copy.parent / "temporary")
        own = (str(ROOT / "src"), str(ROOT / "tests"))
        sys.path[:] = [str(copy / "src"), *(place for place in sys.path if place not in own)]
        os.chdir(copy)
        for name in OTHERS:
            importlib.import_module(name)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1), os.dup2(nowhere, 2)
        judge(Trials(copy, float(seconds)), wholes)
        files = {test.partition("::")[0] for one in functions for test in one[-1]}
        meeting = Meeting(lambda session: judge(Trials(copy, float(seconds), session), functions))
        sys.modules["pytest"].main([*OPTIONS, *sorted(files)], plugins=[meeting])
        if not meeting.began:
            print("the tests cannot be collected", file=out)
        os.chdir(ROOT)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    print(f"{told}; of {len(every):,} possible ones", file=out)


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[3:])
    main(sys.argv[1], sys.argv[2], **given)
