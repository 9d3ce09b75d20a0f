"""Which classes a config that is read back may name, by the place where they stand."""

import pytest

from mlplab.errors import InputError
from mlplab.runs.trusted import NAMES, PLACES, TRUST, expect_class, trusted

ALLOWED = [
    ("data", "mlplab.data.modules.SpiralDataModule"),
    ("model", "torch.nn.Linear"),
    ("module", "mlplab.training.classifier.Classifier"),
    ("loss", "mlplab.nn.losses.CrossEntropy"),
    ("optimizer", "torch.optim.SGD"),
    ("schedule", "torch.optim.lr_scheduler.StepLR"),
    ("callbacks.mine", "lightning.pytorch.callbacks.Timer"),
    ("logger.csv", "lightning.pytorch.loggers.CSVLogger"),
    # Within a module the last word that is a role decides, elsewhere the first.
    ("module.loss", "torch.nn.MSELoss"),
    ("module.optimizer.mine", "torch.optim.SGD"),
    ("module.model.loss", "torch.nn.MSELoss"),
    ("loss.optimizer", "torch.nn.MSELoss"),
]
REFUSED = [
    ("data", "torch.nn.Linear", "must start with one of mlplab.data., got"),
    ("nothing", "torch.nn.Linear", "must start with one of nothing, got"),
    ("module.optimizer.loss", "torch.optim.SGD", "must start with one of mlplab.nn., torch.nn., got"),
    ("callbacks.logger", "lightning.pytorch.loggers.CSVLogger", "must start with one of mlplab.training.callbacks."),
    ("model", 3, "must start with one of mlplab.nn., .*, got 3; if it is your own, set MLPLAB_TRUST=3"),
    ("model", "os.system", "if it is your own, set MLPLAB_TRUST=os$"),
    ("model", "torch.nn.Nothing", "cannot be found"),
    ("model", "torch.nn.functional.relu", "must name a class that is defined in one of"),  # a function
    ("model", "torch.nn.modules.linear.Tensor", "must name a class that is defined in one of"),  # of another module
    ("optimizer", "torch.optim.swa_utils.AveragedModel", "must name an optimiser"),
    ("optimizer", "torch.optim.lr_scheduler.StepLR", "must name an optimiser"),
]


@pytest.mark.parametrize(("key", "target"), ALLOWED)
def test_a_place_may_name_classes_of_its_kind(key, target):
    expect_class("config.yaml", key, {"_target_": target})


@pytest.mark.parametrize(("key", "target", "words"), REFUSED)
def test_a_place_may_name_nothing_else(key, target, words):
    with pytest.raises(InputError, match=words):
        expect_class(f"{key}._target_", key, {"_target_": target})


def test_what_is_known_is_not_imported():
    expect_class("model", "model", {"_target_": "torch.nn.Nothing"}, known={"torch.nn.Nothing"})
    with pytest.raises(InputError, match="must start with"):  # but must be of its kind all the same
        expect_class("data", "data", {"_target_": "torch.nn.Nothing"}, known={"torch.nn.Nothing"})


@pytest.mark.parametrize(
    ("role", "target"),
    [("callbacks", "lightning.pytorch.callbacks.Timer"), ("logger", "lightning.pytorch.loggers.CSVLogger")],
)
def test_a_config_does_not_say_where_to_write(role, target):
    def expect(**arguments):
        expect_class(f"{role}.own._target_", f"{role}.own", {"_target_": target, **arguments})

    for name in PLACES:
        expect(**{name: None})
        for value in ("runs", "", 0):
            with pytest.raises(InputError, match=rf"^{role}\.own\.{name} must be null, got .* set {TRUST}=lightning$"):
                expect(**{name: value})
    for name in NAMES:
        for value in (None, "own", "a.b", 3):
            expect(**{name: value})
        for value in ("a/b", "a\\b", "..", "a..b"):
            with pytest.raises(InputError, match=rf"^{role}\.own\.{name} must be null"):
                expect(**{name: value})
    expect(other="a/b")


def test_a_model_may_have_an_argument_that_is_called_as_a_place():
    expect_class("model", "model", {"_target_": "torch.nn.Linear", "path": "a/b", "name": "a/b"})


@pytest.mark.parametrize(
    ("given", "starts"),
    [
        (None, ()),
        ("", ()),
        (" , ", ()),
        ("stripes", ("stripes.",)),
        (" stripes. ,my.models", ("stripes.", "my.models.")),
    ],
)
def test_names_that_a_person_trusts(given, starts, monkeypatch):
    monkeypatch.setenv(TRUST, given) if given is not None else monkeypatch.delenv(TRUST, raising=False)
    assert trusted() == starts


def test_a_class_that_a_person_trusts_may_stand_and_write_anywhere(tmp_path, monkeypatch):
    (tmp_path / "own_stripes.py").write_text("class Stripes:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    own = {"_target_": "own_stripes.Stripes", "dirpath": "a/b"}
    for role in ("data", "callbacks", "logger"):
        with pytest.raises(InputError, match=f"set {TRUST}=own_stripes"):
            expect_class(role, role, own)
    monkeypatch.setenv(TRUST, "own_stripes")
    for role in ("data", "callbacks", "logger"):
        expect_class(role, role, own)
    # The trust is in that name alone: others' classes still may not say where they write.
    with pytest.raises(InputError, match="dirpath must be null"):
        expect_class("callbacks", "callbacks", {**own, "_target_": "lightning.pytorch.callbacks.ModelCheckpoint"})
