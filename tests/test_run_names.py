"""The words of names and lists of runs, each by what its docstring says of it."""

from types import SimpleNamespace

import pytest

from mlplab.errors import InputError
from mlplab.runs import listing, names
from mlplab.runs.index import Run, last_line
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
    assert defaults.study_of(["tau", "steps", "neuron.tau"]) == "lif"


def test_a_value_is_the_same_where_yaml_reads_a_text_for_a_number():
    assert names._same(0.005, "5e-3", {}) and not names._same(0.006, "5e-3", {}) and not names._same(1, "word", {})
    assert names._same(3, "${seed}", {"seed": 3}) and not names._same(4, "${seed}", {"seed": 3})
    assert names._same("/anywhere", "${logs_folder:}", {}) and not names._same("5e-3x", "5e-3", {})


# Lists.


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 m"),
        (3599, "60 m"),
        (3600, "1 h"),
        (86399, "24 h"),
        (86400, "1 d"),
        (30 * 86400, "30 d"),
    ],
)
def test_ages(seconds, words):
    assert listing.age_words(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (7, "7 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9940, "9.9 kB"),
        (9950, "10 kB"),
        (999_400, "999 kB"),
        (999_500, "1.0 MB"),
        (2_500_000_000, "2.5 GB"),
        (25_000_000_000_000, "25 TB"),
        (10**16, "10000 TB"),
    ],
)
def test_sizes_have_three_digits(count, words):
    assert listing.bytes_words(count) == words


def test_an_nll_has_four_places_until_it_is_large():
    told = [listing.nll_words(value) for value in (None, 0.0, 0.12345, 99.99999, 100, 123456)]
    assert told == ["", "0.0000", "0.1235", "100.0000", "1.0e+02", "1.2e+05"]


@pytest.mark.parametrize(
    ("value", "word", "fits"),
    [
        (3, "3", True),
        (3, "3.0", True),
        (0.001, "1e-3", True),
        (3, "4", False),
        (3, "x", False),
        (True, "true", True),
        (True, "1", False),
        (None, "null", True),
        (None, "None", True),
        ("relu", "relu", True),
        ("relu", "re*", True),
        ("relu", "RE*", False),
        ("torch.optim.Adam", "Adam", True),
        ("torch.optim.Adam", "torch.optim.Adam", True),
        ([16, 8], "[16, 8]", True),
    ],
)
def test_a_value_fits_a_word(value, word, fits):
    assert listing._matches(value, word) == fits


def test_a_list_in_brackets_is_one_word():
    assert listing._split("a,b") == ["a", "b"] and listing._split("[1,2]") == ["[1,2]"] and listing._split("a") == ["a"]


def run(name, changed=(), figures=(), **more):
    given = {"study": "train", "status": "finished", "error": None, "digest": "d" * 64, "seed": 0, "time": 0.0}
    return Run(path=name, changed=dict(changed), figures=dict(figures), **given | more)


INDEX = SimpleNamespace(
    value=lambda run, key: run.changed.get(key),
    defaults=SimpleNamespace(keys=lambda study, changed: [*changed, "model.width"]),
    measure=lambda runs: [setattr(one, "bytes", len(one.path)) for one in runs],
)


def test_the_facts_of_a_run():
    one = run("sweep/seeds/a-00000001", {"k": 5}, {"fresh/nll": 0.5, "test/accuracy": 0.9, "seconds": 3}, time=7.0)
    facts = [listing.fact(one, key, INDEX) for key in listing.FACTS]
    assert facts == ["finished", "train", "sweep", "seeds", "a-00000001", "00000001"]
    alone = run("train/a", digest="abcdef0123456789")
    assert listing.fact(alone, "sweep", INDEX) is None and listing.fact(alone, "experiment", INDEX) == "train"
    assert alone.id == "abcdef01" and run("train/a-1234567").id == "dddddddd" and run("x-12345678").id == "12345678"
    assert (alone.name, alone.parent) == ("a", "train")
    for key, value in {"age": -7.0, "size": None, "nll": 0.5, "accuracy": 0.9, "seconds": 3, "k": 5}.items():
        assert listing.fact(one, key, INDEX) == value
    assert listing.fact(one, "regret", INDEX) is None and listing.fact(one, "validation", INDEX) is None


def order(runs, key):
    return [one.path for one in listing.sort(runs, key, INDEX)]


def test_sorting_by_each_kind_of_key():
    runs = [
        run("a", {"k": 2, "w": "b"}, {"fresh/nll": 0.2, "fresh/accuracy": 0.9, "own": 1.0}, time=1.0),
        run("bb", {"k": 10, "w": "a"}, {"fresh/nll": 0.1, "fresh/accuracy": 0.8, "own": 3.0}, time=3.0),
        run("ccc", {"k": 3, "w": 5}, {"own": 2.0}, time=2.0),
    ]
    assert order(runs, "nll") == ["bb", "a", "ccc"] and order(runs, "-nll") == ["a", "bb", "ccc"]
    assert order(runs, "accuracy") == ["a", "bb", "ccc"] and order(runs, "-accuracy") == ["bb", "a", "ccc"]
    assert order(runs, "own") == ["bb", "ccc", "a"]  # a figure: the highest first
    assert order(runs, "k") == ["a", "ccc", "bb"]  # a key: the lowest first
    assert order(runs, "w") == ["ccc", "bb", "a"]  # numbers before words
    assert order(runs, "age") == ["bb", "ccc", "a"]
    assert order(runs, "size") == ["ccc", "bb", "a"] and order(runs, "-size") == ["a", "bb", "ccc"]
    assert order([], "nothing") == []
    with pytest.raises(InputError, match="sort must be age, size, .* or a key, got nothing"):
        listing.sort(runs, "nothing", INDEX)


def test_choosing_keeps_what_is_asked_for():
    runs = [run("train/a", {"k": 2}), run("train/b", {"k": 3}), run("train/c", {}, status="failed")]

    def chosen(**filters):
        return [one.name for one in listing.choose(runs, filters, INDEX)]

    assert chosen() == ["a", "b", "c"] and chosen(k="2") == ["a"] and chosen(k="2,3") == ["a", "b"]
    assert chosen(k="3", status="finished") == ["b"] and chosen(status="f*") == ["a", "b", "c"]
    assert chosen(k="null") == ["c"] and chosen(width="3") == []  # a key that some config has, if none of these runs
    assert chosen(sweep="x") == []
    with pytest.raises(InputError, match="status must be one of .*, got faild; did you mean failed"):
        chosen(status="faild")
    with pytest.raises(InputError, match="depht is no key of these runs, got depht=3"):
        chosen(depht="3")
    assert listing.choose([], {"depht": "3"}, INDEX) == []


def test_what_three_runs_or_more_changed_alike_is_common():
    runs = [run(name, {"k": 1, "w": number}) for number, name in enumerate("abc")]
    assert listing.common_changes(runs) == {"k": 1} and listing.common_changes(runs[:2]) == {}
    assert [one.label_without({"k": 1}) for one in runs[:1]] == ["w=0"] and runs[0].label == "k=1 w=0"
    assert runs[0].label_without({"k": 1, "w": 0}) == "nothing else" and run("a").label_without({}) == "defaults"


def test_a_table_leaves_out_what_it_has_nothing_of_and_says_why_a_run_has_no_metrics():
    runs = [
        run("train/a-00000001", {"k": 1, "w": 0}, {"fresh/accuracy": 0.951, "fresh/nll": 0.2}, time=40.0),
        run("train/a-00000002", {"k": 1, "w": 1}, status="failed", error="no luck", time=40.0),
        run("train/a-00000003", {"k": 1, "w": 2}, status="interrupted", time=40.0),
    ]
    head, first, second, third, last = listing.table(runs, INDEX, width=90, now=100.0)
    assert head.split("  ")[0] == "run" and "regret" not in head and "size" not in head
    assert "accuracy" in head and "NLL" in head and "95.10 %" in first and "0.2000" in first and "1 m" in first
    assert "failed: no luck" in second and "interrupted" in third and ":" not in third
    assert last == "all of them: k=1"
    runs[0].bytes = 5
    runs[0].figures["fresh/accuracy_regret"] = 0.0123
    head, first, *_ = listing.table(runs, INDEX, width=90, now=100.0)
    assert "regret" in head and "size" in head and "1.23" in first and "5 B" in first


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (None, None),
        ("", None),
        (" \n ", None),
        ("a", "a"),
        ("Traceback\n  x\nValueError:  no\tluck\n\n", "ValueError: no luck"),
    ],
)
def test_the_last_line_of_an_error(error, line):
    assert last_line(error) == line
