"""The plane that a decision map shows: fitted to the data, in their units, two of many inputs."""

import numpy as np
import pytest
import torch
from matplotlib.lines import Line2D
from matplotlib.text import Text

from mlplab.data.file_module import FileDataModule
from mlplab.data.modules import BlobsDataModule, MoonsDataModule, SpiralDataModule
from mlplab.errors import InputError
from mlplab.plots.decision_map import decision_map
from mlplab.plots.style import class_colour, pixels
from mlplab.training.plane import by_f_ratio, components_of, plane_of


@pytest.mark.parametrize(
    "kind, options",
    [
        (SpiralDataModule, {}),
        (SpiralDataModule, {"t_max": 3.0}),
        (SpiralDataModule, {"arms": 8}),
        (BlobsDataModule, {}),
        (MoonsDataModule, {"noise": 1.0}),
    ],
)
def test_every_point_of_synthetic_data_lies_in_a_square(kind, options):
    data = kind(**options)
    data.setup()
    left, right, bottom, top = plane_of(data).extent
    assert right - left == pytest.approx(top - bottom)
    for part in (data.train, data.test, data.validation):
        x = part.x.numpy()
        assert ((x >= (left, bottom)) & (x <= (right, top))).all()
        assert np.abs(x).max() > 0.5 * right  # and does not get lost in it
    assert plane_of(data, 2.0).extent == (-2, 2, -2, 2)


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    x = np.stack([rng.normal(size=120), 1000 + 50 * y + rng.normal(size=120), y + 0.1 * rng.normal(size=120)], 1)
    rows = "".join(f"{a},{b},{c},{'abc'[k]}\n" for (a, b, c), k in zip(x, y))
    (tmp_path / "t.csv").write_text("noise,dose (mg),size,kind\n" + rows)
    data = FileDataModule(tmp_path / "t.csv")
    data.setup()
    return data, x


def test_of_many_inputs_the_two_that_tell_most_in_the_units_of_the_file(table):
    data, x = table
    plane = plane_of(data)
    assert (
        plane.pair == (1, 2) and plane.names == ("dose (mg)", "size") and plane.remark == "1 other input at the median"
    )
    left, right, bottom, top = plane.extent
    assert left < x[:, 1].min() < x[:, 1].max() < right < 1250 and bottom < x[:, 2].min() < x[:, 2].max() < top < 4
    np.testing.assert_allclose(plane.middle[0], np.median(data.to_units(data.train.x)[:, 0]), atol=0.05)
    inputs = plane.inputs(4)
    units = data.to_units(inputs)
    torch.testing.assert_close(units[:, 0], plane.middle[0].expand(16), atol=1e-4, rtol=1e-4)
    assert units[0, 1] == pytest.approx(left + (right - left) / 8, rel=1e-4)  # half a pixel inside
    shown = plane.points(data.test.x)
    assert all(np.abs(x[:, 1:] - point).max(1).min() < 1e-2 for point in shown)


def test_a_pair_of_ones_own(table):
    data, x = table
    for pair in (("size", "noise"), (3, 1), ["3", "noise"]):
        plane = plane_of(data, pair=pair)
        assert (
            plane.pair == (2, 0) and plane.names == ("size", "noise") and plane.remark == "1 other input at the median"
        )
        shown = plane.points(data.test.x)
        assert all(np.abs(x[:, [2, 0]] - point).max(1).min() < 1e-2 for point in shown)
    for pair in (("size", "siz"), ("size", "size"), (1,), (1, 2, 3), (0, 1)):
        with pytest.raises(InputError, match="callbacks.decision_maps.pair must name two inputs, of noise, dose"):
            plane_of(data, pair=pair)


@pytest.mark.parametrize("standardize", [True, False])
def test_principal_components_are_those_of_a_singular_value_decomposition(table, standardize):
    data = table[0]
    if not standardize:
        data = FileDataModule(data.path, standardize=False)
        data.setup()
    plane = components_of(data)
    x = data.train.x.double().numpy()
    scaled = (x - x.mean(0)) / x.std(0)
    values, vectors = np.linalg.svd(scaled)[1:]
    ours = plane.points(data.train.x)
    for k in range(2):
        other = scaled @ vectors[k]
        np.testing.assert_allclose(ours[:, k], other * np.sign(other @ ours[:, k]), atol=1e-5)
        share = 100 * values[k] ** 2 / (values**2).sum()
        assert plane.names[k] == f"principal component {k + 1} ({share:.1f} % of the variance)"
    left, right, bottom, top = plane.extent
    np.testing.assert_allclose(
        plane.points(plane.inputs(3))[[0, 8]],
        [
            [left + (right - left) / 6, bottom + (top - bottom) / 6],
            [right - (right - left) / 6, top - (top - bottom) / 6],
        ],
        rtol=1e-4,
        atol=1e-4,
    )
    assert plane.remark == "1 other component at the mean"


def test_what_is_no_plane(tmp_path):
    np.savez(tmp_path / "images.npz", x=np.zeros((40, 4, 4)), y=np.arange(40) % 2)
    (tmp_path / "line.csv").write_text("a,b\n" + "".join(f"{i * i},{i % 2}\n" for i in range(40)))
    for name in ("images.npz", "line.csv"):
        data = FileDataModule(tmp_path / name)
        data.setup()
        assert plane_of(data) is None
    assert components_of(data) is None


def test_the_telling_pair_is_that_of_scikit_learns_anova():
    selection = pytest.importorskip("sklearn.feature_selection")
    rng = np.random.default_rng(1)
    y = rng.integers(0, 4, 300)
    x = rng.normal(size=(300, 6)) + y[:, None] * np.array([0, 0.3, 0.1, 0.9, 0.5, 0.2])
    scores = selection.f_classif(x, y)[0]
    assert by_f_ratio(torch.from_numpy(x), torch.from_numpy(y)) == np.argsort(-scores).tolist()
    assert by_f_ratio(torch.zeros(10, 3), torch.arange(10) % 2) == [0, 1, 2]


def test_thirty_classes_have_thirty_colours_and_a_name_on_the_map():
    assert len({class_colour(k) for k in range(30)}) == 30 and class_colour(30) == class_colour(0)
    logits = np.full((8, 8, 12), -9.0)
    for k in range(12):
        logits[k // 2 :, :, k] += k
    share = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    names = [f"kind {k}" for k in range(12)]
    figure = decision_map(share, 1.0, title="t", class_names=names, axis_names=("dose (mg)", "a very long name " * 9))
    assert {"kind 11", "kind 9"} <= {text.get_text() for text in figure.findobj(Text)}
    plain = decision_map(share, 1.0, title="t", class_names=names)
    assert pixels(figure).shape == pixels(plain).shape and (pixels(figure) != pixels(plain)).any()


def test_of_very_many_points_some_are_drawn_and_it_is_said():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (12_000, 2)), np.arange(12_000) % 2
    figure = decision_map(np.full((4, 4, 2), 0.5), 1.0, x, y, predicted=1 - y, title="t")
    drawn = [line for line in figure.findobj(Line2D) if line.get_linestyle() == "None"]
    assert sum(len(line.get_xdata()) for line in drawn) == 4_000 and max(line.get_markersize() for line in drawn) < 4
    background = next(artist for artist in figure.get_children() if type(artist).__name__ == "Background")
    assert background.of[3].count == "4,000 of 12,000"
