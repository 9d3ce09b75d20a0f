"""A contract over every class that `import mlplab` offers: a wrong argument is answered in one line that names it."""

import inspect
import math
import re

import lightning.pytorch as L
import pytest
import torch

import mlplab

WRONG = [None, True, -1, 0, 1.5, math.nan, math.inf, "x", "", [], [1], {}, object(), -0.5, "../x", b"x", 1e-320]
# Arguments that stand under another name in the message, such as one that belongs to a sum of several.
MEANT = {"group": "(group|test_fraction)"}  # two groups leave no share of the points
CLASSES = [
    kind
    for kind in (getattr(mlplab, name) for name in mlplab.__all__)
    if inspect.isclass(kind) and not issubclass(kind, Exception) and not inspect.isabstract(kind)
]


@pytest.fixture(autouse=True)
def own_random_state(global_random_state_is_untouched):
    with torch.random.fork_rng():  # torch's own layers draw their first weights from its generator
        yield


def arguments(kind):
    signature = inspect.signature(kind.__init__).parameters.values()
    return [p.name for p in signature if p.name != "self" and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in CLASSES for name in arguments(kind)])
def test_a_wrong_value_is_refused_by_name_in_one_line(tmp_path, monkeypatch, kind, name):
    """Some of the values suit no argument at all (an object, bytes); whatever is refused, is refused by name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "points.csv").write_text("a,b,label\n" + "0,1,u\n1,0,v\n" * 10)
    needed = {
        mlplab.MLP: {"in_features": 2, "hidden": [3], "out_features": 3},
        mlplab.Classifier: {"model": torch.nn.Linear(2, 2)},
        mlplab.FileDataModule: {"path": "points.csv"},
    }
    refused = []
    for value in WRONG:
        try:
            made = kind(**{**needed.get(kind, {}), name: value})
            if isinstance(made, L.LightningDataModule):
                made.prepare_data()
                made.setup("fit")
        except mlplab.InputError as error:
            refused.append(value)
            assert "\n" not in str(error) and len(str(error)) < 300
            assert re.search(rf"\b{MEANT.get(name, name)}\b", str(error)), str(error)
    assert {value for value in WRONG if isinstance(value, bytes) or type(value) is object} <= {
        value for value in refused if value.__hash__
    }


@pytest.mark.parametrize(
    ("part", "words"),
    [("model", "a torch.nn.Module"), ("loss", "a module"), ("optimizer", "a function"), ("schedule", "a schedule")],
)
def test_a_part_of_a_classifier_that_is_none_is_refused_by_name(part, words):
    for value in (3, "adam", {"lr": 0.1}):
        with pytest.raises(mlplab.InputError, match=f"^{part} must be {words}.*, or a mapping with _target_, got "):
            mlplab.Classifier(**{"model": torch.nn.Linear(2, 2), part: value})


class Halves(mlplab.Schedule):
    def at(self, step, steps, steps_per_epoch):
        return 0.5 ** (step // steps_per_epoch)


def test_a_schedule_of_ones_own_is_a_subclass_and_both_engines_follow_it():
    data = mlplab.SpiralDataModule(arms=2, points_per_arm=50, batch_size=20, fresh_points=0)
    networks = [mlplab.MLP(2, [5], 2, seed=0).double() for _ in range(3)]
    for network, schedule, engine in zip(networks, (Halves(), Halves(), None), ("population", "lightning", "auto")):
        module = mlplab.Classifier(network, schedule=schedule)
        result = mlplab.fit(module, data, max_epochs=3, engine=engine, precision="64-true", callbacks=[])
        assert result["engine"] == ("population" if engine == "auto" else engine)
    weights = [torch.cat([p.detach().flatten() for p in network.parameters()]) for network in networks]
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-9, atol=1e-12)
    assert not torch.allclose(weights[0], weights[2], rtol=1e-3)
