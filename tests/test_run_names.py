"""The words of names of runs, each by what its docstring says of it."""

import pytest

from mlplab.runs import names
from mlplab.runs.names import Defaults, label, run_name, shape_of, short_key, short_names, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (3, "3"),
        (0.1, "0.1"),
        (1e-9, "1e-09"),
        ("a.b", "a.b"),
        ("mlplab.nn.mlp.MLP", "MLP"),
        ("torch.optim.Adam", "Adam"),
        ("lightning.pytorch.callbacks.Timer", "Timer"),
        ("mlplabs.nn", "mlplabs.nn"),
    ],
)
def test_a_value_is_shown_as_it_is_typed(value, text):
    assert shown(value) == text


def test_keys_are_shortened_to_what_stays_unique():
    assert short_names(["model.width", "data.noise"]) == ["width", "noise"]
    assert short_names(["data.seed", "seed", "model.width"]) == ["data.seed", "seed", "width"]
    assert short_names(["optimizer._target_", "hydra/launcher"]) == ["optimizer", "launcher"]
    assert short_key("trainer.max_epochs") == "epochs" and short_key("trainer.max_steps") == "steps"
    assert short_key("model.width") == "width" and short_key("seed") == "seed" and short_key("path") == "path"
    for word in ("seed", "name", "weight", "path", "epochs", "patience", "steps"):
        assert short_key(f"a.b.{word}") == f"a.b.{word}"


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        ({"hidden": None}, "128"),
        ({"hidden": None, "width": 4}, "4"),
        ({"hidden": None, "depth": 0}, "linear"),
        ({"hidden": [8, 8, 8]}, "8x8x8"),
        ({"hidden": [8, 8, 8, 8]}, "8-depth4"),
        ({"hidden": [8, 8, 8, 9]}, "8x8x8x9"),
        ({"hidden": [1000, 1001] * 3}, "1000x1001x1000x1001x1000x1001"),  # 29 letters
        ({"hidden": [1000, 1001] * 2 + [1000, 10010]}, "1000x1001x1000x1001x1000x10010"),  # 30
        ({"hidden": [1000, 1001] * 2 + [10000, 10010]}, "depth6"),  # 31
        ({}, None),
    ],
)
def test_the_shape_of_a_network_in_a_name(model, shape):
    assert shape_of(model) == shape


DIGEST = "1a2b3c4d" * 8


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("data.noise", 0.3, "noise0.3"),
        ("model.activation", "tanh", "tanh"),
        ("optimizer", "adamw", "adamw"),
        ("mode", "min", "mode_min"),
        ("data.path", "/a b/my iris.v2.csv", "my_iris.v2"),
        ("data.test_path", "/a b/c.csv", "test_path_c"),
        ("data.seed", 4, "data_seed4"),
        ("data.label", "", "label"),
        ("trainer.max_epochs", 5, "epochs5"),
        ("data.rotation_degrees", -3.5, "rotation_degrees-3.5"),
        ("model.init", "a/b c", "init_a_b_c"),
    ],
)
def test_a_change_is_a_word_of_the_folders_name(key, value, word):
    assert run_name(["spiral"], {key: value}, "128", 3, DIGEST) == f"spiral-128-{word}-seed3-1a2b3c4d"


def test_what_the_name_says_otherwise_is_no_word_of_it():
    changed = dict.fromkeys(("seed", "model.hidden", "model.width", "model.depth", "data", "target", "neuron"), 5)
    assert run_name(["a", "b"], changed | {"data.file_sha256": "x"}, None, 0, DIGEST) == "a-b-seed0-1a2b3c4d"
    assert run_name(["a"], {"model": "Net"}, "8", 0, DIGEST) == "a-8-seed0-1a2b3c4d"
    assert run_name(["a"], {"model": "Net"}, None, 0, DIGEST) == "a-Net-seed0-1a2b3c4d"


def test_a_name_has_room_for_exactly_as_many_letters_as_are_allowed():
    changed = {"g.k1": "x", "g.k2": "y"}
    whole = "a-k1_x-k2_y-seed0-1a2b3c4d"
    assert run_name(["a"], changed, None, 0, DIGEST, len(whole)) == whole
    assert run_name(["a"], changed, None, 0, DIGEST, len(whole) - 1) == "a-and2more-seed0-1a2b3c4d"
    # Where not even the leads find room, the end that tells it from others is kept.
    assert run_name(["x" * 90], {}, None, 0, DIGEST) == f"{'x' * 65}-seed0-1a2b3c4d"
    assert run_name(["x-------"], {}, None, 0, DIGEST, 18) == "seed0-1a2b3c4d"


def test_a_label_ends_with_the_seed_and_names_a_file_by_its_name():
    assert label({"data.path": "/a b/my iris.csv", "seed": 1, "data": "file"}) == "data=myiris seed=1"
    assert label({"data.path": "x.csv", "data.file_sha256": "0"}) == "x"
    assert label({"model.hidden": [3, 4], "model.activation": "tanh"}) == "hidden=[3,4] tanh"
    assert label({"mode": "max"}) == "mode=max" and label({"schedule": "one cycle"}) == "schedule=onecycle"


@pytest.fixture
def defaults(tmp_path):
    """Two studies, of which the first has two groups."""

    def write(name, text):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    write("train.yaml", "defaults:\n- shared\n- model: mlp\n- data: moons\n- override hydra/x: y\n- _self_\nseed: 0\n")
    write("shared.yaml", "name: null\nlevel: 5e-3\n")
    write("lif.yaml", "defaults:\n- neuron: plain\nsteps: 3\nseed: 1\n")
    write("model/mlp.yaml", "_target_: a.MLP\nwidth: 128\ndepth: 1\n")
    write("model/wide.yaml", "defaults:\n- mlp\n- _self_\nwidth: 256\n")
    write("data/moons.yaml", "_target_: a.Moons\nnoise: 0.2\norder_seed: ${seed}\n")
    write("data/xor.yaml", "_target_: a.Xor\nnoise: 0.3\n")
    write("neuron/plain.yaml", "_target_: a.Neuron\ntau: 1\n")
    return Defaults(tmp_path)


MOONS = {"data._target_": "a.Moons", "data.noise": 0.2, "data.order_seed": 0}
PLAIN = {"seed": 0, "name": None, "level": 0.005, "model._target_": "a.MLP", "model.width": 128, "model.depth": 1}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, {}),
        ({"seed": 4, "data.order_seed": 4}, {"seed": 4}),  # the one follows the other
        ({"seed": 4}, {"seed": 4, "data.order_seed": 0}),
        ({"level": 0.006}, {"level": 0.006}),
        ({"model.width": 256}, {"model.width": 256}),  # of one class: the key says more than the other file's name
        ({"model.width": 256, "model.depth": 2}, {"model.width": 256, "model.depth": 2}),
        ({"data._target_": "a.Xor", "data.noise": 0.3, "data.order_seed": None}, {"data": "xor"}),
        ({"data._target_": "a.Xor", "data.noise": 0.4, "data.order_seed": None}, {"data": "xor", "data.noise": 0.4}),
        ({"data._target_": "b.Own", "data.noise": 7}, {"data": "Own", "data.noise": 7}),
    ],
)
def test_changes_are_what_differs_from_the_option_that_was_taken(defaults, changes, told):
    flat = PLAIN | MOONS | changes
    assert defaults.study_of(flat) == "train"
    assert defaults.changes(flat) == {key: value for key, value in told.items()}
    assert defaults.changes(flat, "lif") != defaults.changes(flat, "train") and defaults.changes(flat, "none") == {}


def test_values_and_keys_come_back_from_the_changes(defaults):
    changed = {"data": "xor", "seed": 3}
    assert defaults.value("data.noise", changed, "train") == 0.3
    assert defaults.value("data.noise", {}, "train") == 0.2
    assert defaults.value("data.order_seed", {"seed": 3}, "train") == 3
    assert defaults.value("data", {}, "train") == "moons" and defaults.value("data", changed, "train") == "xor"
    assert defaults.value("level", {}, "train") == "5e-3" and defaults.value("level", {"level": 1}, "train") == 1
    assert defaults.value("nothing", {}, "train") is defaults.value("seed", {}, "nothing") is None
    assert defaults.keys("train", {"x.y": 1}) == [
        *("name", "level", "seed", "x.y"),
        *("model", "model._target_", "model.width", "model.depth"),
        *("data", "data._target_", "data.noise", "data.order_seed"),
    ]
    assert defaults.keys("nothing", {"x": 1}) == ["x"]
    assert defaults.options("model")["wide"] == {"_target_": "a.MLP", "width": 256, "depth": 1}
    assert defaults.studies["train"]["groups"] == {"model": "mlp", "data": "moons"} and "shared" not in defaults.studies
    assert defaults.study_of(["tau", "steps", "neuron.tau"]) == "lif" == defaults.study_of(["steps"])
    assert defaults.study_of(["level", "name"]) == "train" == defaults.study_of(("level", "name"))
    assert defaults.study_of(["model.x", "data.y", "steps"]) == "train"


def test_a_value_is_the_same_where_yaml_reads_a_text_for_a_number():
    assert names._same(0.005, "5e-3", {}) and not names._same(0.006, "5e-3", {}) and not names._same(1, "word", {})
    assert names._same(3, "${seed}", {"seed": 3}) and not names._same(4, "${seed}", {"seed": 3})
    assert names._same("/anywhere", "${logs_folder:}", {}) and not names._same("5e-3x", "5e-3", {})
