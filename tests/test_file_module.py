"""Labels, features, splits and the data module of files, each kind of file in a small one of its own."""

import os
import re
import socket

import numpy as np
import pytest
import torch

from mlplab.config.composition import compose
from mlplab.data.features import Preparation, numbers_rows
from mlplab.data.file_module import FileDataModule, labelled_points, read_other
from mlplab.data.labels import is_continuous
from mlplab.data.modules import FileDataModule as OldFileDataModule
from mlplab.data.splits import allot, split
from mlplab.data.table import Column
from mlplab.errors import InputError
from mlplab.runs.identity import file_sha256
from mlplab.seeds import generator as seeded

NAMES = ("setosa", "versicolor", "virginica")


@pytest.fixture
def file(tmp_path):
    def write(text, name="rows.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "output"])
def test_data_must_be_a_file(tmp_path, kind):
    path, words = str(tmp_path / "rows.csv"), "a named pipe or the output of a command"
    own, other = os.pipe(), socket.socket(socket.AF_UNIX)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        other.bind(path)
        words = "a socket"
    elif kind == "device":
        path, words = "/dev/zero", "a device"
    else:
        path = f"/dev/fd/{own[0]}"
    told = re.escape(f"data.path must be a file, got {words}: '{path}'; write to a file what it gives, and name that")
    with pytest.raises(InputError, match=f"^{told}$"):
        FileDataModule(path=path).setup()
    with pytest.raises(InputError, match=f"^{told}$"):
        compose("train", ["data=file", f"data.path={path}"])
    other.close()
    os.close(own[0]), os.close(own[1])


def clouds(rows=90, classes=3, seed=0):
    """Make points (rows, 2) of classes on a line, and their classes, shuffled."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(rows) % classes)
    return rng.normal(size=(rows, 2)) * 0.3 + 2 * y[:, None], y


def text_of(x, words, header="a,b,label", separator=","):
    rows = [separator.join([*(f"{value:.4f}" for value in row), str(word)]) for row, word in zip(x, words)]
    return "\n".join([*([header.replace(",", separator)] if header else []), *rows]) + "\n"


def ready(path, **options):
    module = FileDataModule(path, **options)
    module.setup()
    return module


def refusal(path, **options):
    with pytest.raises(InputError) as caught:
        ready(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


KINDS = {
    "names": (NAMES, "a,b,species", ",", NAMES),
    "from one": ((1, 2, 3), "a,b,room", ",", ("1", "2", "3")),
    "numbers by size": ((10, 2, -1), "a,b,y", ",", ("-1", "2", "10")),
    "whole floats": (("0.000", "1.0", "2"), "a,b,label", ",", ("0", "1", "2")),
    "exponents, no header": (("1e0", "-1e0", "0e0"), None, ",", ("-1", "0", "1")),
    "booleans": (("True", "False", "True"), "a,b,label", ",", ("False", "True")),
    "tabs": ((0, 1, 2), "'a','b','vote'", "\t", ("0", "1", "2")),
    "blanks, no header": (("DH", "NO", "SL"), None, " ", ("DH", "NO", "SL")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_any_distinct_values(file, kind):
    words, header, separator, names = KINDS[kind]
    x, y = clouds()
    module = ready(file(text_of(x, [words[k] for k in y], header, separator)))
    assert module.class_names == names and module.classes == len(names)
    assert module.feature_names == (("a", "b") if header else ("x1", "x2"))
    assert [len(getattr(module, part).y) for part in ("train", "validation", "test")] == [54, 18, 18]
    # Each row has its own class still.
    told = {row: str(words[k]) for row, k in zip(map(tuple, np.round(x, 4).tolist()), y)}
    units = np.round(module.to_units(module.train.x).double().numpy(), 4)
    for row, k in zip(map(tuple, units.tolist()), module.train.y.tolist()):
        name = next(word for key, word in told.items() if np.allclose(key, row, atol=2e-4))
        assert name == names[k] or float(name) == float(names[k])


def test_a_column_of_semicolons_and_decimal_commas(file):
    x, y = clouds()
    text = text_of(x, [NAMES[k] for k in y], "länge,breite,art", ";").replace(".", ",")
    module = ready(file(text))
    assert module.feature_names == ("länge", "breite") and module.class_names == NAMES
    np.testing.assert_allclose(sorted(module.to_units(module.train.x)[:, 0].tolist())[0] + 2, 2 + x[:, 0].min(), atol=1)


@pytest.mark.parametrize(
    "names, label",
    [("a,label,y", "label"), ("class,b,y", "class"), ("a,Species,b", "Species"), ("y,b,c", "y"), ("a,b,c", "c")],
)
def test_the_label_is_found_by_its_name_else_it_is_the_last(file, names, label):
    at = names.split(",").index(label)
    rows = [[f"{i * i / 7:.3f}", f"{(i * 5) % 17 / 3:.3f}"] for i in range(20)]
    text = names + "\n" + "\n".join(",".join([*row[:at], str(i % 2), *row[at:]]) for i, row in enumerate(rows))
    module = ready(file(text))
    assert module.label_name == label and f"the label is '{label}'" in module.notes[0]
    assert ready(file(text), label=at + 1).label_name == label


REFUSED = {
    "continuous": (
        "a,y\n" + "".join(f"{i * i},{i * 0.37}\n" for i in range(50)),
        {},
        ["50 different values", "regression"],
    ),
    "whole quantity": (
        "a,y\n" + "".join(f"{i * i},{i * 3}\n" for i in range(50)),
        {},
        ["50 different", "data.label=NAME"],
    ),
    "names of rows": ("a,y\n" + "".join(f"{i * i},row{i}\n" for i in range(50)), {}, ["50 different values"]),
    "class of one": ("a,y\n1,u\n2,u\n3,v\n", {}, ["row 3 (line 4)", "class 'v'", "at least two rows"]),
    "label missing": ("a,y\n1,u\n2,u\n3,\n", {}, ["row 3 (line 4)", "label 'y'", "got none", "data.missing=drop"]),
    "one column": ("y\n0\n1\n", {}, ["column beside the label", "data.separator"]),
    "bars": ("a|y\n0|1\n1|0\n", {}, ["a|y alone", "data.separator"]),
    "one class": ("a,y\n0,u\n1,u\n", {}, ["two classes or more", "'u' in all 2 rows", "data.label=NAME"]),
    "years as names": ("2019,2020,y\n1,2,u\n2,1,u\n3,1,v\n1,1,v\n", {}, ["row 1 (line 1)", "data.header=true"]),
    "no such label": ("a,b\n1,0\n2,0\n", {"label": "c"}, ["data.label", "a, b", "'c'"]),
    "no such feature": ("a,b\n1,0\n2,0\n", {"features": ["c"]}, ["data.features", "'c'"]),
    "label as feature": ("a,b\n1,0\n2,0\n", {"features": ["a", "b"]}, ["each once, without 'b'"]),
    "no feature left": ("a,b\n1,0\n2,0\n", {"exclude": "a"}, ["column beside the label"]),
    "word among numbers": ("a,b\n1,0\n2,1\nx,0\n5,1\n", {}, ["row 3 (line 4)", "'a'", "'x'"]),
    "infinite": ("a,b\n1,0\n2,1\n1e300,0\n5,1\n", {}, ["row 3 (line 4)", "'a'", "float32", "1e+300"]),
    "missing": ("a,b,c\n1,2,0\n2,nan,1\n,,0\n5,1,1\n", {}, ["row 2 (line 3)", "'b'", "2 rows", "drop", "median"]),
    "no row left": ("a,b,c\n1,,0\n,1,0\n", {"missing": "drop"}, ["leaves no row"]),
    "rule": ("a,b\n1,0\n2,0\n", {"missing": "mean"}, ["data.missing", "refuse, drop, median", "'mean'"]),
    "names as feature": (
        "a,b\n" + "".join(f"w{i},{i % 2}\n" for i in range(200)),
        {},
        ["'a'", "different words ('w", "exclude=[a]"],
    ),
    "nameless": (",a,b\n1,3,0\n2,9,0\n", {}, ["column 1 ('') has no name", "data.exclude=[1]"]),
    "pandas read again": ("Unnamed: 0,a,b\n1,3,0\n2,9,0\n", {}, ["has no name"]),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_every_refusal_is_one_line_that_says_how(file, fault):
    text, options, parts = REFUSED[fault]
    message = refusal(file(text), **{"test_fraction": 0.5, "validation_fraction": 0} | options)
    for part in parts:
        assert part in message, message


def test_an_index_is_left_out_when_asked_and_may_be_named(file):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(120, 2)), np.arange(120) // 60
    path = file(",0,1,label\n" + "".join(f"{i},{a:.4f},{b:.4f},{k}\n" for i, ((a, b), k) in enumerate(zip(x, y))))
    assert "data.exclude=[-4]" in refusal(path)  # a column is called 1
    assert ready(path, exclude=[-4]).feature_names == ready(path, exclude=-4).feature_names == ("0", "1")
    assert ready(path, features=["0"]).feature_names == ("0",)
    assert ready(path, features=[1, 2]).feature_names == ("1", "0")  # a name goes before a position


def test_inputs_are_standardised_by_the_train_rows_alone(file):
    x, y = clouds(200)
    path = file(text_of(x * [1, 1000], y))
    module = ready(path)
    train = module.train.x.double()
    torch.testing.assert_close(train.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(train.std(0, correction=0), torch.ones(2, dtype=torch.float64), atol=1e-6, rtol=0)
    assert module.test.x.mean(0).abs().min() > 1e-4
    raw = ready(path, standardize=False)
    torch.testing.assert_close(module.to_units(module.test.x), raw.test.x, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(module.to_inputs(raw.test.x), module.test.x, rtol=1e-4, atol=1e-5)
    constant = ready(file(text_of(np.ones((20, 2)), np.arange(20) % 2)))
    assert constant.train.x.abs().max() == 0 and constant.preparation.deviations == (1.0, 1.0)


def test_columns_go_by_name_in_another_file(file):
    x, y = clouds(300)
    path = file(text_of(x, y))
    module = ready(path)
    swapped = file(text_of(x[:, ::-1], y, "b,a,label"), "swapped.csv")
    whole, other = module.points_of(path), module.points_of(swapped)
    assert torch.equal(whole.x, other.x) and torch.equal(whole.y, other.y) and len(whole.y) == 300
    more = file("extra,b,label,a\n" + "".join(f"w,{b:.4f},{k},{a:.4f}\n" for (a, b), k in zip(x, y)), "more.csv")
    assert torch.equal(module.points_of(more).x, whole.x)
    for text, part in (
        ("a,label\n1,0\n2,1\n", "must have the columns that were trained on: b not among a, label"),
        (
            "a,b,label\n1,2,0\n2,3,7\n",
            "row 2 (line 3): label 'label' must be a class that was trained on (0, 1, 2), got '7'",
        ),
        ("a,b\n1,2\n2,3\n", "must have the label column 'label'"),
    ):
        with pytest.raises(InputError) as caught:
            module.points_of(file(text, "wrong.csv"))
        assert part in str(caught.value)


def test_files_without_a_header_go_by_position(file):
    x, y = clouds()
    path = file(text_of(x, y, None, " "), "rows.dat")
    module = ready(path)
    named = ready(file(text_of(x, y)))
    assert torch.equal(named.points_of(path).x, named.points_of(named.path).x)
    bare = file("\n".join(f"{a:.4f},{b:.4f}" for a, b in x), "bare.csv")
    assert len(read_other(bare, named.recorded())) == 90
    assert torch.equal(module.points_of(path).x, named.points_of(path).x)


def test_words_are_one_hot_with_the_levels_of_the_train_rows(file):
    rng = np.random.default_rng(0)
    words = np.array(["red", "green", "blue"])[rng.integers(0, 3, 60)]
    words[:2] = "rare"
    path = file("colour,size,label\n" + "".join(f"{w},{i * i},{i % 2}\n" for i, w in enumerate(words)))
    module = ready(path)
    levels = module.preparation.levels["colour"]
    assert module.feature_names == (*(f"colour={level}" for level in levels), "size")
    assert {"red", "green", "blue"} <= set(levels)
    hot = module.train.x[:, :-1]
    assert set(hot.unique().tolist()) == {0, 1} and torch.equal(hot.sum(1), torch.ones(len(hot)))
    with pytest.raises(
        InputError, match=r"row 1 \(line 2\): column 'colour' must be a kind that was trained on .* 'pink'"
    ):
        module.points_of(file("colour,size,label\npink,1,0\n", "new.csv"))
    kinds = ready(file("kind,a,label\n" + "".join(f"{i % 3},{i * i},{i % 2}\n" for i in range(60))), categorical="kind")
    assert kinds.feature_names == ("kind=0", "kind=1", "kind=2", "a")


def test_missing_values_dropped_or_filled_by_the_train_rows(file):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(100, 2)).round(4), np.arange(100) % 2
    gone = rng.random(100) < 0.3
    path = file("a,b,label\n" + "".join(f"{'' if g else a},{b},{k}\n" for (a, b), k, g in zip(x, y, gone)))
    dropped = ready(path, missing="drop", standardize=False)
    counts = [len(getattr(dropped, part).y) for part in ("train", "validation", "test")]
    assert sum(counts) == (~gone).sum() and f"{gone.sum()} of 100 rows" in " ".join(dropped.notes)
    filled = ready(path, missing="median", standardize=False)
    at = filled.preparation.medians["a"]
    rows = {b: a for a, b in filled.train.x.tolist()}
    there = [a for a, (_, b), g in zip(x[:, 0], x, gone) if np.float32(b) in rows and not g]
    assert at == pytest.approx(np.median(there)) and (filled.train.x[:, 0] == np.float32(at)).sum() > 5
    assert len(dropped.points_of(path).y) == (~gone).sum() and len(filled.points_of(path).y) == 100


@pytest.mark.parametrize("counts", [(50, 30, 20), (97, 2, 1 + 1), (10, 5, 3)])
def test_a_stratified_split_gives_each_part_each_class_in_its_share(counts):
    y = np.repeat(np.arange(3), counts)
    parts = split(y, 0.2, 0.2, torch.Generator().manual_seed(0))
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(y)))
    for name, share in (("test", 0.2), ("validation", 0.2), ("train", 0.6)):
        found = np.bincount(y[parts[name]], minlength=3)
        assert np.abs(found - share * np.array(counts)).max() <= 1.25, (name, found)
    assert np.bincount(y[parts["train"]], minlength=3).min() >= 1
    assert len(parts["test"]) == int(0.2 * len(y))


def test_an_allotment_never_takes_more_than_there_is():
    assert allot(5, np.array([2, 2, 96]), np.array([1, 1, 95])).tolist() == [0, 0, 5]
    assert allot(9, np.array([5, 5]), np.array([4, 4])).tolist() == [4, 4]
    assert allot(0, np.array([5]), np.array([4])).tolist() == [0]


def test_groups_stay_in_one_part(file):
    x, y = clouds(120)
    rows = "".join(f"{i // 6},{b:.4f},s{i // 6},{k}\n" for i, ((_, b), k) in enumerate(zip(x, y)))
    module = ready(file("a,b,subject,label\n" + rows), group="subject", standardize=False)
    assert module.feature_names == ("a", "b")
    groups = [set(getattr(module, part).x[:, 0].tolist()) for part in ("train", "validation", "test")]
    assert [len(group) for group in groups] == [12, 4, 4] and len(set.union(*groups)) == 20


def test_files_of_validation_and_test_rows(file):
    x, y = clouds(90)
    path, other = file(text_of(x, y)), file(text_of(x[:30, ::-1], y[:30], "b,a,label"), "test.csv")
    module = ready(path, test_path=other)
    assert [len(getattr(module, part).y) for part in ("train", "validation", "test")] == [72, 18, 30]
    assert len(ready(path, test_path=other, validation_path=other).train.y) == 90


def test_an_archive_with_parts_of_its_own(tmp_path):
    x, y = clouds(90)
    np.savez(tmp_path / "a.npz", x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
    module = ready(tmp_path / "a.npz", standardize=False)
    assert [len(getattr(module, part).y) for part in ("train", "validation", "test")] == [48, 12, 30]
    assert torch.equal(module.test.x, torch.from_numpy(x[60:]).float())


def test_images_keep_their_shape_and_have_one_scale(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 8, 8)), np.arange(60) % 3
    x[:, 0, 0] = 7
    np.savez(tmp_path / "digits.npz", x=x.astype(np.uint8), y=y)
    module = ready(tmp_path / "digits.npz")
    assert module.input_shape == (8, 8) and module.train.x.shape == (36, 8, 8)
    assert len(set(module.preparation.means)) == 1 and abs(module.train.x.std(correction=0) - 1) < 1e-5
    assert torch.allclose(module.to_units(module.train.x)[:, 0, 0], torch.tensor(7.0), atol=1e-3)
    assert torch.equal(module.points_of(module.path).x.sum(), module.points_of(module.path).x.sum())


def test_classes_too_rare_for_a_part_are_named(file):
    x, y = clouds(90)
    words = np.array(NAMES)[y]
    words[y == 2] = "setosa"
    words[:2] = "rare"
    module = ready(file(text_of(x, words)))
    assert any("too rare for the" in note and "class rare" in note for note in module.notes)


def test_the_batch_is_cut_to_the_train_rows_without_a_word(file):
    x, y = clouds(90)
    module = ready(file(text_of(x, y)), batch_size=128)
    assert module.batch_size == 54 and not any("batch" in note for note in module.notes)


def test_another_file_under_the_same_name_is_refused(file):
    x, y = clouds(90)
    path = file(text_of(x, y))
    known = file_sha256(path)
    assert ready(path, file_sha256=known).recorded()["sha256"] == known
    file(text_of(x, (y + 1) % 3))
    assert "is another file than the one this run was made of" in refusal(path, file_sha256=known)


def test_what_is_recorded_reads_another_file_alike(file):
    x, y = clouds(90)
    path = file("kind," + text_of(x, y).replace("\n", "\nu,", 90).replace("\nu,", "\nv,", 40))
    module = ready(path)
    recorded = module.recorded()
    assert Preparation.from_recorded(recorded["preparation"]) == module.preparation
    points = labelled_points(read_other(path, recorded), recorded)
    assert torch.equal(points.x, module.points_of(path).x)


def test_version_01_splits_and_leaves_as_it_did(file):
    from mlplab.data.datasets import shuffle_split
    from mlplab.seeds import generator

    x, y = clouds(90)
    path = file(text_of(x, y))
    module = OldFileDataModule(path, label="label", validation_fraction=0.1, batch_size=8)
    module.setup()
    rows = torch.from_numpy(np.loadtxt(path, delimiter=",", skiprows=1)).float()
    test, rest = shuffle_split(90, 0.2, generator(2021, "split"))
    assert torch.equal(module.test.x, rows[test, :2]) and torch.equal(module.train.x, rows[rest[9:], :2])
    assert torch.equal(module.train.y, rows[rest[9:], 2].long())


def test_what_numbers_rows():
    whole = np.arange(10.0)
    assert numbers_rows(Column("i", whole)) and numbers_rows(Column("i", whole + 1000))
    assert not numbers_rows(Column("i", whole[:9])) and not numbers_rows(Column("i", whole * 2))
    assert numbers_rows(Column("ID", whole[::-1] * 2)) and not numbers_rows(Column("id", whole // 2))
    assert not numbers_rows(Column("i", np.zeros(10, np.int32), ("a",)))


@pytest.mark.parametrize("name, start, step", [("Id", 1, 1), ("Obs", 1000, 1), ("id", 7, 3)])
def test_a_column_that_numbers_the_rows_is_left_out_and_it_is_said(file, name, start, step):
    x, y = clouds()
    rows = "".join(f"{start + step * i},{a:.3f},{b:.3f},{k}\n" for i, ((a, b), k) in enumerate(zip(x, y)))
    path = file(f"{name},a,b,y\n{rows}")
    module = ready(path)
    assert module.feature_names == ("a", "b")
    assert f"left out, as it numbers the rows: {name} (data.features=[...] takes it)" in module.notes
    assert ready(path, features=[name, "a"]).feature_names == (name, "a")
    assert not any("left out" in note for note in ready(path, exclude=[1]).notes)


def test_what_an_export_leaves_at_its_edges_is_no_data(file):
    """A separator at each line's end, as in Kaggle's table of breast cancer, and rows of separators alone, as of Excel."""
    x, y = clouds()
    lines = text_of(x, [NAMES[k] for k in y]).splitlines()
    module = ready(file("\n".join([*(f"{line}," for line in lines), ",,,", ",,,"])))
    assert module.feature_names == ("a", "b") and len(module.train.y) == 54


def test_what_was_done_to_columns_is_said(file):
    x, y = clouds()
    rows = [
        f"{a:.3f},{'' if i % 30 == 7 else b},7,{'red' if i % 2 else 'blue'},{k}"
        for i, ((a, b), k) in enumerate(zip(x, y))
    ]
    module = ready(file("a,b,c,colour,y\n" + "\n".join(rows)), missing="median")
    assert module.notes == [
        "read 90 rows; the label is 'y' (data.label names another)",
        "an input for each kind: colour (2 kinds)",
        "3 missing values stand at the median of the train rows",
        "the same in all train rows: c",
        "inputs standardised by the train rows (data.standardize=false leaves them as they are)",
    ]


def test_names_that_stand_in_an_archive_as_scikit_learn_gives_them(tmp_path):
    x, y = clouds()
    np.savez(
        tmp_path / "iris.npz",
        data=x,
        target=y[:, None],
        feature_names=["length", "width"],
        target_names=NAMES,
        DESCR="where it comes from",
    )
    module = ready(tmp_path / "iris.npz")
    assert module.feature_names == ("length", "width") and module.class_names == NAMES
    np.savez(tmp_path / "plain.npz", x, y)
    assert ready(tmp_path / "plain.npz").classes == 3
    np.savez(tmp_path / "none.npz", X=x)
    assert "must have labels beside its inputs" in refusal(tmp_path / "none.npz")
    np.savez(tmp_path / "one_hot.npz", X=x, y=np.eye(3)[y])
    assert "y.argmax(1)" in refusal(tmp_path / "one_hot.npz")


@pytest.mark.parametrize("whole", [True, False])
def test_a_continuous_quantity_begins_where_it_is_said_to(whole):
    """More than 20 whole numbers (or 10 fractions), a whole number in fewer than 5 rows each on average."""
    most = 20 if whole else 10

    def column(kinds, rows):
        return Column("y", np.arange(rows) % kinds + (0.0 if whole else 0.5))

    assert not is_continuous(column(most, most)) and not is_continuous(column(most, 3 * most))
    assert is_continuous(column(most + 1, most + 1)) and is_continuous(column(most + 1, 5 * (most + 1) - 1))
    assert is_continuous(column(most + 1, 5 * (most + 1))) != whole
    words = tuple(f"w{i}" for i in range(most + 2))
    coded = Column("y", (np.arange(most + 2)).astype(np.int32), words)
    assert is_continuous(coded) == (most + 2 > 20)


@pytest.mark.parametrize("spread", [1e-9, 0.01, 0.5, 1.0, 3.0, 1e6])
def test_what_has_any_spread_is_standardised_to_one(file, spread):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 2)) * spread, np.arange(60) % 2
    rows = "\n".join(f"{a!r},{b!r},7,{k}" for (a, b), k in zip(x.tolist(), y))
    module = ready(file(f"a,b,constant,label\n{rows}\n"))
    inputs = module.train.x.double()
    torch.testing.assert_close(inputs[:, :2].std(0, correction=0), torch.ones(2).double(), rtol=1e-5, atol=0)
    torch.testing.assert_close(inputs.mean(0), torch.zeros(3).double(), rtol=0, atol=1e-6)
    assert (inputs[:, 2] == 0).all(), "a constant is 0, and not divided by what rounding leaves"


@pytest.mark.parametrize("value", [0.1, 1e9 + 0.1, -3.3e-7])
def test_what_rounding_leaves_of_a_constant_is_no_spread(file, value):
    rows = "\n".join(f"{value!r},{i},{i % 2}" for i in range(70))
    inputs = ready(file(f"a,b,label\n{rows}\n")).train.x
    assert (inputs[:, 0].abs() < 1e-3).all()


def test_a_split_is_stratified_unless_it_is_told_otherwise():
    y = np.repeat([0, 1], [90, 10])
    default, told, plain = (
        split(y, 0.2, 0.2, torch.Generator().manual_seed(3), **options)
        for options in ({}, {"stratify": True}, {"stratify": False})
    )
    assert all((default[part] == told[part]).all() for part in default)
    assert [int((y[default[part]] == 1).sum()) for part in ("train", "validation", "test")] == [6, 2, 2]
    assert any(len(default[part]) != len(plain[part]) or (default[part] != plain[part]).any() for part in default)


def test_a_class_of_which_the_groups_leave_nothing_to_train_on_is_named(file):
    """Group 0 alone has the class ``rare``, in two rows: some seeds put it where nothing is trained."""
    rows = "".join(f"{i * i % 17},{i // 2},{'rare' if i < 2 else 'ab'[i % 2]}\n" for i in range(20))
    path, ends = file("a,subject,label\n" + rows), set()
    for seed in range(12):
        options = {"group": "subject", "seed": seed, "batch_size": 2}
        parts = split(np.zeros(10, int), 0.2, 0.2, seeded(seed, "split"), stratify=False)
        if 0 in parts["train"]:
            module = ready(path, **options)
            assert sorted(np.bincount(module.train.y).tolist())[0] == 2 == module.class_names.index("rare")
            assert sum("too rare for the" in note and note.endswith("class rare") for note in module.notes) == 2
        else:
            assert f"with {seed} none of class 'rare' of" in refusal(path, **options)
        ends.add(0 in parts["train"])
    assert ends == {True, False}


def test_one_row_of_a_class_is_enough_to_train_on(file):
    module = ready(
        file("a,label\n1,u\n2,u\n3,u\n4,u\n5,v\n6,v\n"), test_fraction=0.4, validation_fraction=0, batch_size=2
    )
    assert np.bincount(module.train.y).tolist() == [3, 1] and np.bincount(module.test.y).tolist() == [1, 1]
    assert not module.notes[1:-1]


def test_nothing_is_said_of_columns_to_which_nothing_was_done(file, tmp_path):
    x, y = clouds()
    said = "inputs standardised by the train rows (data.standardize=false leaves them as they are)"
    path = file(text_of(x, y, separator=";"))
    assert ready(path).notes == [
        "read semicolon-separated, 90 rows; the label is 'label' (data.label names another)",
        said,
    ]
    plain = ready(file(text_of(x, y, None)), label=3, standardize=False)
    assert plain.notes == ["read without a header, 90 rows; the label is 'x3'"]
    images = np.arange(90 * 6).reshape(90, 2, 3) % 7
    images[:, 0, 0] = 5
    np.savez(tmp_path / "images.npz", x=images, y=y)
    assert ready(tmp_path / "images.npz").notes[1:] == [said]  # a pixel that is always the same is nothing to tell of
