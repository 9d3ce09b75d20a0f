"""Networks, losses and data of a user's own, and what is answered to wrong ones."""

import sys
import textwrap

import pytest
import torch
from small_runs import assert_same_run, base, changed, comparable, interrupt, quick, rows, train  # noqa: F401 (fixtures among them)

from mlplab.errors import InputError
from mlplab.training.callbacks import MemberCallback
from mlplab.training.fit import fit, fit_members
from mlplab.training.objects import build
from mlplab.training.record import Record

OWN = """
import torch
from torch import nn

class Radial(nn.Module):
    def __init__(self, in_features, out_features, seed=None, width=5):
        super().__init__()
        self.norm = nn.BatchNorm1d(in_features)
        self.centres = nn.Linear(in_features, width)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(width, out_features)

    def forward(self, x):
        return self.head(self.drop(torch.exp(-self.centres(self.norm(x)) ** 2)))

class Wrong(Radial):
    def forward(self, x):
        return super().forward(x)[:, :-1]

class Faulty(Radial):
    def forward(self, x):
        raise KeyError("a slip")

class Halved(nn.Module):
    def forward(self, logits, labels):
        return nn.functional.cross_entropy(logits, labels) / 2

class Each(nn.Module):
    def forward(self, logits, labels):
        return nn.functional.cross_entropy(logits, labels, reduction="none")

class Touchy(torch.optim.SGD):
    def __init__(self, params, lr):
        raise ZeroDivisionError("a slip")
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(textwrap.dedent(OWN))
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_networks"
    sys.modules.pop("own_networks", None)


def test_a_users_network_trains_alone_and_among_others(base, tmp_path, own_module):
    configs = [quick(base, model={"_target_": f"{own_module}.Radial", "width": 7}, seed=seed) for seed in range(3)]
    folders = [tmp_path / "together" / str(i) for i in range(3)]
    for folder in folders:
        folder.mkdir(parents=True)
    results = fit_members(configs, folders)
    for index, (config, result) in enumerate(zip(configs, results)):
        alone = train(config, tmp_path / "alone" / str(index))
        assert comparable(alone) == comparable(result)
    assert len({result["state_sha256"] for result in results}) == 3
    assert results[0]["parameters"] == 2 + 2 + 2 * 7 + 7 + 7 * 4 + 4
    interrupt(configs[0], tmp_path / "parts", 16)
    assert comparable(train(configs[0], tmp_path / "parts", resume=True)) == comparable(results[0])


def test_a_users_network_has_its_pictures(base, tmp_path, own_module):
    config = changed(base, model={"_target_": f"{own_module}.Radial"}, trainer__max_epochs=2)
    train(config, tmp_path / "run")
    assert (tmp_path / "run" / "figures" / "decision_map.png").exists()


def test_a_users_loss(base, tmp_path, own_module):
    sgd = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.25}
    plain = train(quick(base, optimizer=sgd), tmp_path / "plain")
    halved = train(
        quick(base, optimizer=sgd | {"lr": 0.5}, loss={"_target_": f"{own_module}.Halved"}), tmp_path / "halved"
    )
    assert halved["test"]["nll"] == pytest.approx(plain["test"]["nll"], rel=1e-4)
    own, half = (float(rows(tmp_path / name)[-1]["val/loss"]) for name in ("plain", "halved"))
    assert half == pytest.approx(own / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": {"_target_": "own_networks.Nothing"}}, "model._target_=own_networks.Nothing cannot be found"),
        ({"model": {"_target_": "no_such_module.Net"}}, "model._target_=no_such_module.Net cannot be found"),
        (
            {"model": {"_target_": "own_networks.Radial", "depth": 3}},
            "model._target_=own_networks.Radial cannot be built",
        ),
        ({"model": {"_target_": "collections.Counter"}}, "model._target_ must name a torch.nn.Module"),
        ({"model": {"_target_": "own_networks.Wrong"}}, r"Wrong must give logits \(2, 4\) .* got \(2, 3\)"),
        ({"model": {"_target_": "own_networks.Faulty"}}, "Faulty cannot take inputs .*a slip"),
        ({"model__activation": {"name": "gelu", "approximate": "no"}}, "model.activation: gelu refuses"),
        ({"loss__weight": [1.0, 2.0]}, "loss.weight must be a list of 4, one a class, got 2"),
        (
            {"optimizer": {"_target_": "own_networks.Nothing"}},
            "optimizer._target_=own_networks.Nothing cannot be found",
        ),
        ({"schedule": {"_target_": "own_networks.Nothing"}}, "schedule._target_"),
        ({"callbacks__timing": {"_target_": "own_networks.Nothing"}}, "callbacks.timing._target_"),
        ({"model": {"_target_": "builtins.dict"}}, "model._target_ must name a torch.nn.Module, got builtins.dict"),
        ({"model": {"_target_": "os.system"}}, "model._target_=os.system cannot be found"),
        ({"data": {"_target_": "torch.nn.Identity"}}, "data._target_ must name a LightningDataModule"),
        (
            {"schedule": {"_target_": "torch.nn.Identity"}},
            "schedule._target_ must name a class of torch.optim.lr_scheduler or a subclass of mlplab.Schedule",
        ),
        (
            {"callbacks__timing": {"_target_": "torch.nn.Identity"}},
            "callbacks.timing._target_ must name a Lightning Ca",
        ),
        ({"logger": {"csv": {"_target_": "torch.nn.Identity"}}}, "logger._target_ must name a Lightning Logger"),
        ({"loss": {"_target_": "torch.nn.Identity"}}, "Identity cannot take logits .8, 4. and labels .8,."),
        ({"loss": {"_target_": "torch.nn.BCELoss"}}, "BCELoss cannot take logits"),
        ({"loss": {"_target_": "own_networks.Each"}}, r"Each must give one number with a gradient, got \(8,\)"),
        ({"optimizer": {"_target_": "torch.nn.Identity"}}, "optimizer._target_ must name a torch.optim.Optimizer"),
        (
            {"optimizer": {"_target_": "torch.optim.Adam", "nope": 3}},
            "optimizer._target_=.*Adam cannot train here.*nope",
        ),
        (
            {"optimizer": {"_target_": "torch.optim.LBFGS", "history_size": "no", "lr": -1.0}},
            "LBFGS cannot train here: ",
        ),
        ({"optimizer": {"_target_": "own_networks.Touchy", "lr": 1}}, "Touchy cannot train here: a slip"),
        ({"model__width": 10**13}, "this does not fit into memory, got .*model.width=10000000000000"),
        ({"data__points_per_arm": 10**14}, "this does not fit into memory, got .*points_per_arm=100000000000000"),
        ({"data__fresh_points": 10**30}, "this does not fit into memory, got .*fresh_points=1"),
        ({"data__batch_size": 1000}, "data.batch_size must be at most .* 128, got 1000"),
        ({"trainer__limit_train_batches": 0.01}, "trainer.limit_train_batches=0.01 leaves no minibatch"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(base, tmp_path, own_module, change, words, capfd):
    folder = tmp_path / "run"
    with pytest.raises(InputError, match=words) as caught:
        train(quick(base, **change), folder)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert [
        path.name for path in folder.iterdir() if path.name not in ("status.json", "config.yaml", "manifest.json")
    ] == []


def test_torchs_loss_with_options_trains_as_the_labs(base, tmp_path):
    found = {}
    for target in ("mlplab.nn.losses.CrossEntropy", "torch.nn.CrossEntropyLoss"):
        loss = {"_target_": target, "weight": [1.0, 4.0, 0.5, 1.0], "ignore_index": -100, "label_smoothing": 0.1}
        options = {"optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.3}}
        found[target] = train(quick(base, loss=loss, **options), tmp_path / target)
        found[target]["table"] = float(rows(tmp_path / target)[-1]["val/loss"])
    own, theirs = found.values()
    assert own["test"]["nll"] == pytest.approx(theirs["test"]["nll"], rel=1e-5)
    assert own["table"] == pytest.approx(theirs["table"], rel=1e-5)
    assert own["table"] != pytest.approx(own["validation"]["nll"], rel=1e-2)


def test_gpu_is_refused_in_one_line_where_there_is_none(base):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(InputError, match="trainer=gpu needs .* use trainer=cpu") as caught:
        fit(quick(base, trainer__accelerator="gpu"), None)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains_and_goes_on_to_the_same_bits(base, tmp_path):
    config = changed(base, trainer__accelerator="gpu")
    result = train(config, tmp_path / "whole")
    assert result["device"].startswith("cuda")
    interrupt(config, tmp_path / "parts", 8)
    train(config, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


class Kept(torch.nn.Module):
    def __init__(self, **given):
        super().__init__()
        self.given = given


def test_a_node_of_plain_values_is_called_with_copies():
    node = {"_target_": f"{__name__}.Kept", "sizes": [1, [2]], "options": {"a": 1}, "nothing": None}
    kept = build(node, "model", more=torch.ones(1))
    assert kept.given == {"sizes": [1, [2]], "options": {"a": 1}, "nothing": None, "more": torch.ones(1)}
    kept.given["sizes"][1].append(3)
    kept.given["options"]["a"] = 2
    assert node["sizes"] == [1, [2]] and node["options"] == {"a": 1}


def test_a_node_that_asks_hydra_for_more_is_hydras():
    inner = {"_target_": "torch.nn.Dropout", "p": 0.25}
    kept = build({"_target_": f"{__name__}.Kept", "one": inner, "many": [inner]}, "model")
    assert isinstance(kept.given["one"], torch.nn.Dropout) and isinstance(kept.given["many"][0], torch.nn.Dropout)
    assert build({"_target_": f"{__name__}.Kept", "_recursive_": False, "one": inner}, "model").given["one"] == inner
    assert (
        build({"_target_": f"{__name__}.Kept", "path": "${oc.env:HOME,x}"}, "model").given["path"] != "${oc.env:HOME,x}"
    )


def test_histories_have_one_length_whatever_was_taken_when(base):  # noqa: F811
    seen = []

    class Look(MemberCallback):
        def on_fit_end(self, trainer, classifier):
            record = next(callback for callback in trainer.callbacks if isinstance(callback, Record))
            seen.append([record.history(index) for index in range(classifier.members)])

        def on_epoch(self, trainer, classifier):
            if classifier.epochs == 2:
                classifier.stop(1, "early")

    configs = [changed(base, seed=seed, trainer__check_val_every_n_epoch=3) for seed in (0, 1)]
    fit_members(configs, [None] * 2, observer=Look())
    whole, early = seen[0]
    assert whole["epoch"] == [1, 2, 3, 4] and early["epoch"] == [1, 2]
    assert all(len(column) == 4 for column in whole.values()) and all(len(column) == 2 for column in early.values())
    assert [value == value for value in whole["val/loss"]] == [False, False, True, False]
    assert all(value == value for value in whole["train/loss"])
