"""Pictures of tables and images: pairs of features, principal components, errors, weights; one of each kind of run."""

import numpy as np
import pytest
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from matplotlib.text import Text

from mlplab.cli import app
from mlplab.errors import InputError
from mlplab.plots.images import COLUMNS, ROWS, error_images, framed, weight_images
from mlplab.plots.key import Swatch
from mlplab.plots.scatter_matrix import MOST, scatter_matrix
from mlplab.plots.style import COLOURS, INK, pixels


def words_of(figure):
    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.parametrize("features", [2, 3, MOST])
def test_every_pair_once_and_every_error_in_each(features):
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(60, features)), np.arange(60) % 3
    predicted = np.where(np.arange(60) < 40, labels, -1)
    predicted[[3, 7]] = (predicted[[3, 7]] + 1) % 3
    figure = scatter_matrix(
        values, labels, predicted, names=[f"f{j}" for j in range(features)], title="t", class_names="abc"
    )
    pairs = features * (features - 1) // 2
    wrong = [len(line.get_xdata()) for line in figure.findobj(Line2D) if line.get_markeredgecolor() == INK]
    assert sum(wrong) == 2 * pairs + 1  # one in the key
    points = [len(line.get_xdata()) for line in figure.findobj(Line2D) if line.get_linestyle() == "None"]
    assert sum(points) == 60 * pairs + 3 + 3
    assert len(figure.findobj(Polygon)) == 3 * features
    words = words_of(figure)
    assert {"a", "b", "c", "20 other points"} <= set(words) and words.count("f0") == 1 and words.count("f1") == 2
    assert pixels(figure).shape == (1320, 1320, 3)


def test_a_matrix_of_constants_and_of_many_classes():
    labels = np.arange(40) % 20
    figure = scatter_matrix(np.full((40, 2), 7.0), labels, labels, names=["a", "b"], title="t")
    assert "and 7 more" in words_of(figure)


@pytest.mark.parametrize(
    "values, names, fault",
    [
        (np.zeros((4, 1)), ["a"], "values must be"),
        (np.zeros((4, 6)), list("abcdef"), "values must be"),
        (np.zeros((4, 2)), ["a"], "values must be"),
        (np.full((4, 2), np.nan), ["a", "b"], "4 of 4 rows"),
    ],
)
def test_what_a_matrix_refuses(values, names, fault):
    with pytest.raises(InputError, match=fault):
        scatter_matrix(values, np.zeros(4, int), np.zeros(4, int), names=names, title="t")


def test_the_surest_error_stands_first_and_the_least_sure_hit_after_the_errors():
    sure = np.array([0.9, 0.6, 0.7, 0.8])
    probabilities = np.stack([sure, 1 - sure], 1)
    figure = error_images(
        np.random.default_rng(0).random((4, 6, 3)), [1, 1, 0, 0], probabilities, title="t", class_names="ab"
    )
    told = [word for word in words_of(figure) if "%" in word or "→" in word or word in ("a", "b")]
    assert told == ["b → a", "90 %", "b → a", "60 %", "a", "70 %", "a", "80 %"]
    many = error_images(np.zeros((100, 2, 2)), np.zeros(100, int), np.tile([0.9, 0.1], (100, 1)), title="t")
    assert len(many.findobj(Swatch)) == COLUMNS * ROWS
    with pytest.raises(InputError, match="must agree"):
        error_images(np.zeros((4, 2)), [0] * 4, probabilities, title="t")


def test_weights_are_blue_and_red_on_one_scale_and_pixels_stay_square():
    figure = weight_images(np.array([[[2.0, -1.0]], [[0.0, 0.5]]]), title="t")
    first, second = (swatch.image for swatch in figure.findobj(Swatch))
    blue = [int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5)]
    middle = len(first) // 2
    assert first[middle, 30, :3].tolist() == blue and first[middle, 100, 0] > first[middle, 100, 2]
    assert second[middle, 30, :3].tolist() == [255, 255, 255] and 0 < second[middle, 100, 0] < 255
    assert (framed(np.zeros((2, 4, 3)), np.ones(3))[:30, 60, :3] == 255).all()  # above a wide image
    with pytest.raises(InputError, match="shape"):
        weight_images(np.zeros((2, 3)), title="t")


def train(path, logs, *words):
    assert (
        app.main(
            [
                "train",
                "data=file",
                f"data.path={path}",
                f"paths.logs={logs}",
                "name=run",
                "trainer.max_epochs=2",
                "model.width=4",
                "logger=none",
                "callbacks.decision_maps.resolution=8",
                *words,
            ]
        )
        == 0
    )
    return {file.stem for file in (logs / "train" / "run" / "figures").glob("*.png")}


def test_a_table_of_three_features_has_a_map_of_the_pair_asked_for_a_matrix_and_a_projection(tmp_path, capsys):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    rows = rng.normal(size=(60, 3)) + 2 * y[:, None]
    (tmp_path / "t.csv").write_text(
        "a,b,c,kind\n" + "".join(f"{a},{b},{c},{'uv'[k]}\n" for (a, b, c), k in zip(rows, y))
    )
    drawn = train(tmp_path / "t.csv", tmp_path / "logs", "callbacks.decision_maps.pair=[c,1]")
    assert {"decision_map", "scatter_matrix", "projection"} <= drawn
    assert {"scatter_matrix.png", "projection.png"} <= {
        line.rpartition("/")[2] for line in capsys.readouterr().out.splitlines()
    }
    with np.load(tmp_path / "logs" / "train" / "run" / "figures" / "arrays.npz") as arrays:
        assert arrays["axis_names"].tolist() == ["c", "a"] and arrays["matrix/names"].tolist() == ["a", "b", "c"]
        assert (arrays["matrix/predicted"] >= 0).sum() == 12 and len(arrays["matrix/labels"]) == 60
    words = [
        "train",
        "data=file",
        f"data.path={tmp_path / 't.csv'}",
        f"paths.logs={tmp_path}",
        "callbacks.decision_maps.pair=[c,d]",
    ]
    assert app.main(words) == 2
    assert "of a, b, c, or their positions" in capsys.readouterr().err
    assert app.main(["redraw", str(tmp_path / "logs" / "train" / "run"), "scatter_matrix", "projection"]) == 0


def test_images_have_errors_and_weights_in_place_of_maps(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    np.savez(tmp_path / "images.npz", x=rng.random((60, 5, 4)) + y[:, None, None], y=y)
    drawn = train(tmp_path / "images.npz", tmp_path / "logs")
    assert {"errors", "first_layer", "projection"} <= drawn and not {"decision_map", "scatter_matrix"} & drawn
    with np.load(tmp_path / "logs" / "train" / "run" / "figures" / "arrays.npz") as arrays:
        assert arrays["first_layer"].shape == (4, 5, 4) and arrays["images"].shape == (12, 5, 4)
        assert arrays["images"].max() > 1.5  # in the units of the file
