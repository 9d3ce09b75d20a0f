"""The parts of a table of one's own: given by its file or by others, and what a checkpoint keeps of how it was read."""

import numpy as np
import pytest
import torch

from mlplab.data.arrays import PointsDataset, collate
from mlplab.data.file_module import FileDataModule, WholeFile, read_other, same_file
from mlplab.errors import InputError
from mlplab.runs.identity import file_sha256

X, Y = np.arange(40.0).reshape(20, 2) ** 2, np.arange(20) % 2


def ready(path, **options):
    module = FileDataModule(path, batch_size=2, standardize=False, **options)
    module.setup()
    return module


def rows_of(points):
    """The numbers of a part's rows, by the first input."""
    numbers = np.sqrt(points.x[:, 0].numpy()).round().astype(int) // 2
    assert points.y.tolist() == (numbers % 2).tolist()  # each with its own class
    return sorted(numbers)


@pytest.mark.parametrize(
    "given", [("train",), ("train", "test"), ("train", "validation"), ("train", "validation", "test")]
)
def test_parts_that_a_file_has_are_taken_and_what_it_lacks_is_split_from_its_train_rows(tmp_path, given):
    bounds = {"train": (0, 12), "validation": (12, 16), "test": (16, 20)}
    arrays = {f"x_{name[:3] if name == 'validation' else name}": X[slice(*bounds[name])] for name in given}
    arrays |= {key.replace("x_", "y_"): Y[slice(*bounds[name])] for key, name in zip(arrays, given)}
    np.savez(tmp_path / "a.npz", **arrays)
    module = ready(tmp_path / "a.npz", test_fraction=0.25, validation_fraction=0.25)
    taken = []
    for name in ("validation", "test"):
        part = rows_of(getattr(module, name))
        assert part == list(range(*bounds[name])) if name in given else (len(part) == 3 and max(part) < 12)
        taken += part
    assert sorted(rows_of(module.train) + [row for row in taken if row < 12]) == list(range(12))


def table(path, rows=range(20), header="a,b,label"):
    path.write_text("\n".join([header, *(f"{X[i, 0]},{X[i, 1]},{'uv'[Y[i]]}" for i in rows)]) + "\n")
    return path


def test_shares_are_set_aside_rounded_down_and_must_be_something(tmp_path):
    path = table(tmp_path / "a.csv")
    module = ready(path, test_fraction=0.14, validation_fraction=0.19)
    assert [len(getattr(module, part).y) for part in ("train", "validation", "test")] == [15, 3, 2]
    assert ready(path, validation_fraction=0).validation is None
    for key in ("test_fraction", "validation_fraction"):
        with pytest.raises(InputError, match=f"data.{key} must set at least one point aside, got 0.04 of 20 points"):
            ready(path, **{key: 0.04})
    with pytest.raises(InputError, match="data.validation_fraction must be a number >= 0 and < 0.5, got 0.5"):
        ready(path, test_fraction=0.5, validation_fraction=0.5)


def test_files_of_their_own_leave_the_whole_file_to_the_others(tmp_path):
    path, other = table(tmp_path / "a.csv"), table(tmp_path / "b.csv", range(6))
    module = ready(path, test_path=other, validation_fraction=0.25)
    assert rows_of(module.test) == list(range(6)) and len(module.validation.y) == 5 and len(module.train.y) == 15
    module = ready(path, test_path=other, validation_path=other)
    assert rows_of(module.train) == list(range(20)) and rows_of(module.validation) == list(range(6))
    assert module.test_sha256 == module.validation_sha256 == file_sha256(other) != module.file_sha256
    with pytest.raises(InputError, match="data.test_path: .* is another file than the one this run was made of"):
        ready(path, test_path=other, test_sha256="0" * 64)


def test_a_file_is_the_same_by_its_bytes(tmp_path):
    path = table(tmp_path / "a.csv")
    digest = file_sha256(path)
    assert same_file(path, None, "data.path") == same_file(str(path), digest, "data.path") == digest
    with pytest.raises(InputError, match=f"its sha256 is {digest[:12]}..., not 111111111111..."):
        same_file(path, "1" * 64, "data.path")


def test_what_a_checkpoint_keeps_is_compared(tmp_path):
    path = table(tmp_path / "a.csv")
    module = FileDataModule(path, batch_size=2)
    assert module.state_dict() == {}
    module.setup()
    state = module.state_dict()
    assert list(state) == ["path", "sha256", "label", "class_names", "feature_names", "preparation"]
    assert state["path"] == str(path) and state["class_names"] == ["u", "v"] and state["label"] == "label"
    module.load_state_dict(state | {"path": "elsewhere"})
    module.load_state_dict({})
    with pytest.raises(InputError, match="the checkpoint is of data of another sha256, label than"):
        module.load_state_dict(state | {"sha256": "0", "label": "x"})


def test_units_and_inputs_are_each_others_inverse(tmp_path):
    module = FileDataModule(table(tmp_path / "a.csv"), batch_size=2)
    module.setup()
    values = torch.tensor([[4.0, 9.0], [0.0, 1.0]])
    inputs = module.to_inputs(values)
    assert inputs.dtype == torch.float32 and torch.allclose(module.to_units(inputs), values, atol=1e-3)
    mean, deviation = map(np.array, (module.preparation.means, module.preparation.deviations))
    np.testing.assert_allclose(inputs, (values.numpy() - mean) / deviation, rtol=1e-5)


@pytest.mark.parametrize(("text", "columns"), [("1,2\n3,4\n", 2), ("1,2,u\n3,4,v\n", 3), ("1,2,u,5\n3,4,v,6\n", None)])
def test_a_file_without_a_header_has_the_columns_of_the_first_by_position(tmp_path, text, columns):
    recorded = ready(table(tmp_path / "a.csv")).recorded()
    (tmp_path / "b.csv").write_text(text)
    names = read_other(tmp_path / "b.csv", recorded, header=False).names
    assert names == (["a", "b", "label"][:columns] if columns else ["x1", "x2", "x3", "x4"])


def test_a_whole_file_is_the_test_points_of_another_network(tmp_path):
    recorded = ready(table(tmp_path / "a.csv")).recorded()
    whole = WholeFile(table(tmp_path / "b.csv", range(5)), recorded)
    assert rows_of(whole.test) == list(range(5)) and torch.equal(whole.inputs, whole.test.x)
    assert (whole.classes, whole.class_names, whole.feature_names, whole.input_shape) == (
        2,
        ("u", "v"),
        ("a", "b"),
        (2,),
    )
    assert whole.sha256 == file_sha256(tmp_path / "b.csv") and whole.train is whole.validation is None
    assert whole.shown_part == "test" and whole.shown is whole.test
    (tmp_path / "c.csv").write_text("a,b\n1,2\n")
    bare = WholeFile(tmp_path / "c.csv", recorded, labelled=False)
    assert bare.test is None and bare.inputs.tolist() == [[1, 2]] and bare.shown_part == "validation"
    with pytest.raises(InputError, match="must have the label column 'label', got a, b"):
        WholeFile(tmp_path / "c.csv", recorded)
    (tmp_path / "d.csv").write_text("a,b,label\n1,,u\n")
    with pytest.raises(InputError, match="must have at least one row"):
        WholeFile(tmp_path / "d.csv", recorded, missing="drop")
    np.savez(tmp_path / "e.npz", x=np.zeros((2, 2, 1)), y=[0, 1])
    with pytest.raises(InputError, match=r"must have rows of shape \(2,\), got \(2, 1\)"):
        WholeFile(tmp_path / "e.npz", recorded)


def test_points_are_taken_one_by_one_or_many_at_once():
    points = PointsDataset(torch.arange(6.0).reshape(3, 2), torch.tensor([5, 6, 7]))
    assert len(points) == 3 and [part.tolist() for part in points[1]] == [[2, 3], 6]
    x, y = points.__getitems__([2, 0])
    assert x.tolist() == [[4, 5], [0, 1]] and y.tolist() == [7, 5]
    assert collate((x, y)) == (x, y) and [part.tolist() for part in collate([points[0], points[2]])] == [
        [[0, 1], [4, 5]],
        [5, 7],
    ]
