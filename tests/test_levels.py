"""A file imports only from the levels under its own; numerics stand below frameworks."""

import ast
import functools
import graphlib
import itertools
import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import mlplab

PACKAGE = Path(mlplab.__file__).parent
FRAMEWORKS = {"lightning", "hydra", "omegaconf", "matplotlib", "tensorboard", "torchmetrics", "tqdm", "PIL"}
# Room: the rooms of the package that it may import, and the third parties it may not.
GROUND = {
    "errors",
    "hydra_names",
    "lightning_names",
    "options",
    "optuna_names",
    "rules",
    "seeds",
    "torch_names",
    "words",
}
ROOMS = {
    "nn": (set(), FRAMEWORKS),
    "runs": (set(), FRAMEWORKS - {"omegaconf", "tensorboard"}),  # a run's config.yaml is OmegaConf's
    "population": ({"nn"}, FRAMEWORKS - {"lightning"}),
    "data": ({"nn", "runs", "population"}, FRAMEWORKS - {"lightning"}),
    "plots": ({"runs"}, FRAMEWORKS - {"matplotlib", "PIL"} | {"torch"}),
    "pages": ({"runs"}, FRAMEWORKS - {"matplotlib"}),
    "training": ({"nn", "runs", "population", "data", "plots", "pages"}, set()),
    "report": ({"runs", "plots", "pages"}, FRAMEWORKS - {"matplotlib", "PIL", "tensorboard"} | {"torch"}),
    "search": ({"runs", "sweeps"}, set()),
    "sweeps": ({"runs", "plots", "training", "data"}, set()),
    "config": ({"runs", "search", "config"}, FRAMEWORKS - {"hydra", "omegaconf"} | {"torch"}),
}
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def imports(path):
    """Dotted names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the level"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_there_is_something_to_check():
    assert {path.parts[0] for path in FILES} >= set(ROOMS)
    assert "mlplab.nn.losses.CrossEntropy" in set(imports(Path("training/classifier.py")))


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] in ROOMS], ids=str)
def test_a_file_imports_from_below_only(path):
    room = path.parts[0]
    below, forbidden = ROOMS[room]
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "mlplab" and len(parts) > 1:
            assert parts[1] in below | {room} | GROUND, f"{path} imports {name}"
        assert parts[0] not in forbidden, f"{path} imports {name}"


def test_the_readme_lists_the_rooms_from_top_to_bottom():
    """Its claim, that a file imports only from rooms below its own, is held for every room it names, and names all."""
    drawn = re.search(r"```text\n(faults/.*?)```", (PACKAGE / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    rooms = [line.split()[0] for line in drawn.splitlines() if re.match(r"[a-z/]+/ ", line)]
    ground = re.search(r"^((?:[a-z]+ )+) used by all", drawn, re.MULTILINE)[1].split()
    assert set(ground) == {name for name in GROUND if not name.endswith("_names")}

    def room(name):
        return next((room for room in rooms if f"{name}/".startswith(room)), None)

    assert {room(str(path)) for path in FILES if len(path.parts) > 1 and path.parts[0] != "studies"} <= set(rooms)
    for path in FILES:
        for name in imports(path):
            above, below = room(str(path)), room(name.removeprefix("mlplab.").replace(".", "/"))
            if name.startswith("mlplab.") and above and below:
                assert rooms.index(above) <= rooms.index(below), f"{path} imports {name}"


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] in ("nn", "runs")], ids=str)
def test_numerics_need_torch_numpy_scipy_alone(path):
    allowed = sys.stdlib_module_names | {"torch", "numpy", "scipy", "mlplab"}
    if path.parts[0] == "runs":
        allowed |= {"yaml", "omegaconf", "tensorboard", "google", "google_crc32c"}
    assert {name.partition(".")[0] for name in imports(path)} <= allowed


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_file_evaluates_text_or_unpickles(path):
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    called = {ast.unparse(call) for call in calls if call.func.id in ("eval", "exec")}
    assert called <= ({"exec('')"} if path == Path("runs/signals.py") else set())
    assert not {name.partition(".")[0] for name in imports(path)} & {"pickle", "dill", "cloudpickle", "joblib"}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_file_keeps_pyplots_state(path):
    assert not any(name.startswith(("matplotlib.pyplot", "pylab")) for name in imports(path))


@functools.cache
def modules_after(statement):
    """Give the names of all modules that a new Python holds after a statement."""
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def loaded_after(statement):
    return {name.partition(".")[0] for name in modules_after(statement)}


def test_numerics_load_no_framework():
    names = [f"mlplab.nn.{path.stem}" for path in FILES if path.parts[0] == "nn" and path.stem != "__init__"]
    loaded = loaded_after(f"import {', '.join(names)}")
    assert "torch" in loaded and not loaded & (FRAMEWORKS - {"tqdm"})  # which torch itself loads


def test_pictures_load_no_torch():
    names = [f"mlplab.plots.{path.stem}" for path in FILES if path.parts[0] == "plots" and path.stem != "__init__"]
    loaded = loaded_after(f"import {', '.join(names)}")
    assert "matplotlib" in loaded and "torch" not in loaded


def test_a_config_is_checked_without_torch():
    loaded = loaded_after("from mlplab.config.composition import compose; compose('train', ['model.width=3'])")
    assert "hydra" in loaded and not loaded & {"torch", "lightning", "matplotlib"}


# What each command must not load before it has work to do: each of these costs a second or more.
UNLOADED = {
    "mlplab.cli.app": {"torch", "lightning", "hydra", "matplotlib", "scipy", "pandas"},
    "mlplab.cli.runs": {"torch", "lightning", "hydra", "matplotlib", "scipy", "pandas"},
    "mlplab.report.report": {"torch", "lightning", "hydra", "pandas"},
    "mlplab.studies.lif.study": {"torch", "lightning", "torchmetrics", "pandas", "sympy"},
    "mlplab.studies.relu.study": {"lightning", "torchmetrics", "pandas", "sympy"},
}


@pytest.mark.parametrize("module", UNLOADED)
def test_a_command_loads_only_what_it_needs(module):
    assert not loaded_after(f"import {module}") & UNLOADED[module]


@pytest.mark.parametrize("module", ["mlplab.studies.lif.study", "mlplab.studies.relu.study"])
def test_a_study_loads_neither_training_nor_report(module):
    loaded = modules_after(f"import {module}")
    assert module in loaded and not [name for name in loaded if name.startswith(("mlplab.training", "mlplab.report"))]


def test_lif_runs_without_torch(tmp_path):
    loaded = loaded_after(f"from mlplab.cli.app import main; main(['lif', 'paths.logs={tmp_path}'])")
    assert "matplotlib" in loaded and not loaded & {"torch", "lightning", "pandas"}
    assert json.loads(next(tmp_path.rglob("manifest.json")).read_text())["torch_build"] is None


def module_name(path):
    parts = ("mlplab", *path.with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_module_imports_itself_round_a_circle():
    modules = {module_name(path): path for path in FILES}

    def owner(name):
        while name and name not in modules:
            name = name.rpartition(".")[0]
        return name

    graph = {name: {owner(other) for other in imports(path)} - {name, ""} for name, path in modules.items()}
    assert len(graph["mlplab.cli.app"]) > 3
    list(graphlib.TopologicalSorter(graph).static_order())  # a CycleError names the circle


def test_every_package_that_is_imported_is_declared():
    project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    declared = {re.split(r"[=<>~!\[; ]", line)[0].lower().replace("_", "-") for line in lines}
    owners = metadata.packages_distributions()
    for path in (path for path in FILES if path.parts[0] != "benchmarks"):  # their peers are whatever is installed
        for module in (
            {name.partition(".")[0] for name in imports(path)} - sys.stdlib_module_names - {"mlplab", "hydra_plugins"}
        ):
            names = (
                {"protobuf"}
                if module == "google"
                else {name.lower().replace("_", "-") for name in owners.get(module, [module])}
            )
            assert names & declared, f"{path} imports {module}, of {', '.join(names)}: pyproject.toml does not name it"


# Words of the lab's own that a reader would have to learn; what the field calls the thing stands beside each.
OWN_WORDS = {
    "telling": "informative",
    "hush": "silence",
    "settle": "finish",
    "complain": "print_error",
    "complaint": "message",
    "furniture": "axes",
    "corridor": "band",
    "worthless": "unneeded",
    "whoever": "caller",
    "nobody": "none",
}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_names_are_the_fields_words(path):
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    named = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    named += [
        argument.arg
        for node in ast.walk(tree)
        if isinstance(node, ast.arguments)
        for argument in node.args + node.kwonlyargs
    ]
    words = {word.removesuffix("s") for name in named for word in re.findall(r"[a-z]+", name.lower())}
    assert not words & set(OWN_WORDS), f"{path} names something {words & set(OWN_WORDS)}"
