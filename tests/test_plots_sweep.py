"""The figures of a sweep: what is drawn, measured on arrays and pixels, and degenerate sizes."""

import re

import numpy as np
import pytest
from matplotlib.text import Text
from sweep_folders import make_sweep, result

from mlplab.plots import against as against_module
from mlplab.plots.against import Series, against, offsets, short
from mlplab.plots.bands import Curves, bands
from mlplab.plots.charts import log_ticks
from mlplab.plots.curves import accuracy_ticks
from mlplab.plots.heat_map import Cells, ends, heat_map, number
from mlplab.plots.mosaic import coarser, mosaic
from mlplab.plots.order import goodness, letters_on, line_colours, ramp
from mlplab.plots.ranking import MOST, ranking
from mlplab.plots.style import INK, figure, pixels, png_bytes, width_of
from mlplab.report.axes import axes_of, budgets, round_number
from mlplab.report.curves import kept_of
from mlplab.report.figures import draw
from mlplab.report.joining import build
from mlplab.report.table import Setting, Table, summaries_of
from mlplab.runs.sweep_folder import read_sweep
from mlplab.runs.sweep_record import Job
from mlplab.words import thinned


def texts_of(figure) -> list[Text]:
    return [artist for artist in figure.artists if isinstance(artist, Text)]


def place_of(figure) -> dict[str, tuple[float, float]]:
    return {text.get_text(): text.get_position() for text in texts_of(figure)}


def luminance(colours) -> np.ndarray:
    part = np.asarray(colours, dtype=float)
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_the_ramp_falls_evenly_in_lightness_and_letters_on_it_are_read():
    colours = ramp(np.linspace(0, 1, 200))
    light = luminance(colours)
    assert (np.diff(light) < 0).all()
    for colour in colours:
        other = luminance([int(letters_on(colour)[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        bright, dark = max(other, luminance(colour)), min(other, luminance(colour))
        assert (bright + 0.05) / (dark + 0.05) >= 3.0, "WCAG 2: large letters"
    assert len(set(line_colours(8))) == 8 and len(line_colours(1)) == 1
    assert ramp(np.array([np.nan])).shape == (1, 3)


def test_goodness_runs_from_worst_to_best_by_log_error():
    got = goodness([[0.5, 0.9], [0.99, np.nan]], "accuracy")
    assert got[0, 0] == 0 and got[1, 0] == 1 and np.isnan(got[1, 1])
    assert got[0, 1] == pytest.approx(np.log(0.5 / 0.1) / np.log(0.5 / 0.01))
    assert goodness([3.0, 3.0], "nll").tolist() == [0.5, 0.5]
    assert goodness([1.0, 0.1], "nll").tolist() == [0.0, 1.0]
    assert np.isnan(goodness([np.nan], "nll")).all()
    assert goodness([0.1], "nll", among=[1.0, 0.1, 0.01]).tolist() == pytest.approx([0.5])


def cells(rows, columns, seeds, kind="accuracy"):
    draw = np.random.default_rng(0)
    return Cells("title", draw.uniform(0.5, 0.98, (rows, columns, seeds)).tolist(), kind)


def test_a_cell_shows_mean_and_spread_where_it_belongs():
    panel = Cells("accuracy, %", [[[0.5, 0.52], [0.9, 0.94]], [[0.7, 0.7], []]], "accuracy")
    made = heat_map([panel], ["16", "32"], ["1", "2"], x_name="width", y_name="depth", title="t", best=[(0, 0, 1)])
    place = place_of(made)
    assert place["51.0"][0] < place["92.00"][0] and place["51.0"][1] == place["92.00"][1]
    assert place["70.0"][1] > place["51.0"][1], "row 1 lies over row 0"
    assert "± 1.41" in place and "± 2.83" in place and "± 0.00" in place and "–" in place
    assert abs(place["★"][0] - place["92.00"][0]) < 0.01 or "selected" in place


def test_the_best_cell_is_darkest_and_the_worst_lightest():
    values = [[[0.5], [0.9]], [[0.7], [0.99]]]
    made = heat_map([Cells("", values, "accuracy")], ["a", "b"], ["1", "2"], x_name="x", y_name="y", title="")
    image = pixels(made).astype(float).mean(axis=-1)
    boxes = next(artist for artist in made.artists if type(artist).__name__ == "PatchCollection")
    light = luminance(boxes.get_facecolors()[:, :3]).reshape(2, 2)
    assert light[0, 0] == light.max() and light[1, 1] == light.min() and light[1, 0] > light[0, 1]
    assert image.min() < 60


@pytest.mark.parametrize(("rows", "columns", "seeds"), [(1, 1, 1), (1, 6, 3), (3, 3, 60), (12, 25, 2)])
def test_heat_maps_of_every_size_are_drawn(rows, columns, seeds):
    names = [[str(10 * k) for k in range(n)] for n in (columns, rows)]
    panels = [cells(rows, columns, seeds), cells(rows, columns, seeds, "nll")]
    mark = [(0, rows - 1, columns - 1)]
    made = heat_map(panels, *names, x_name="x", y_name="y", title="t", best=mark, near=mark)
    assert pixels(made).std() > 5
    across, down = made.get_size_inches() * made.dpi
    assert across <= 1720 and down <= 1400


def test_numbers_stay_clear_of_the_outline_of_their_cells():
    names = [str(2**k) for k in range(9)]
    near = [(0, row, column) for row in range(8) for column in range(9)]
    panels = [cells(8, 9, 1), cells(8, 9, 1, "nll")]
    made = heat_map(panels, names, names[:8], x_name="x", y_name="y", title="t", near=near)
    wide = (1660 / 2 - 74 - 52) / 9
    bold = [written for written in texts_of(made) if re.fullmatch(r"\d+\.\d+", written.get_text())]
    assert len(bold) == 144 and max(map(width_of, bold)) <= wide - 2 * (5 + 2)


def test_entries_of_the_legend_under_a_heat_map_stand_equally_far_apart():
    mark = [(0, 0, 0)]
    made = heat_map([cells(2, 2, 3)], "ab", "12", x_name="x", y_name="y", title="t", best=mark, near=mark)
    across = made.get_size_inches()[0] * made.dpi
    place = {written.get_text(): written for written in texts_of(made)}
    best, near = place["selected"], place["not significantly different"]
    gaps = [
        (place[sign].get_position()[0] - before.get_position()[0]) * across - width_of(before)
        for before, sign in ((best, "□"), (near, "•"))
    ]
    assert gaps[0] == pytest.approx(gaps[1]) and gaps[0] > 20


def ticks_of(axis) -> list[float]:
    return axis.get_major_locator().locs.tolist()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.03, 1.5, [0.05, 0.1, 0.2, 0.5, 1]),
        (0.061, 0.079, [0.065, 0.07, 0.075]),
        (0.028, 0.079, [0.03, 0.04, 0.05, 0.06, 0.07]),
        (1e-5, 1.0, [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1]),
    ],
)
def test_a_logarithmic_axis_always_has_numbers_to_read(low, high, expected):
    axes = figure(400, 300).add_axes((0.1, 0.1, 0.8, 0.8))
    log_ticks(axes.yaxis, low, high)
    assert ticks_of(axes.yaxis) == pytest.approx(expected)


def test_accuracies_that_lie_close_together_have_numbers_too():
    axes = figure(400, 300).add_axes((0.1, 0.1, 0.8, 0.8))
    accuracy_ticks(axes, 0.022, 0.045)
    levels = ticks_of(axes.yaxis)
    assert len(levels) >= 3 and all(0.022 <= level <= 0.045 for level in levels)
    assert axes.yaxis.get_major_formatter()(0.03, 0) == "97"


def test_a_round_number_just_before_the_first_point_is_named():
    x = np.geomspace(116, 50436, 9)
    made = against([Series("", x, *[np.full((9, 3), 0.9), np.full((9, 3), 0.3)])], x_name="n", title="t")
    assert ticks_of(made.axes[0].xaxis)[:2] == [100, 300]


def test_cells_too_small_for_numbers_name_their_ends():
    assert ends(Cells("", [[[0.5], [0.99]]], "accuracy")) == "50.0 (light) to 99.00 (dark)"
    assert ends(Cells("", [[[0.5], [0.1]]], "nll")) == "0.500 (light) to 0.100 (dark)"
    assert ends(Cells("", [[[]]], "nll")) == "no runs"
    assert number(12.345, "nll") == "12.3"


def quarters(size: int) -> np.ndarray:
    grid = np.full((size, size, 3), 0.05, np.float32)
    grid[: size // 2, :, 0] = grid[size // 2 :, : size // 2, 1] = grid[size // 2 :, size // 2 :, 2] = 0.9
    return grid


def test_maps_lie_in_the_place_of_their_setting():
    pure = np.zeros((2, 3, 8, 8, 3), np.float32)
    for k in range(3):
        pure[0, k, ..., k] = pure[1, k, ..., (k + 1) % 3] = 1.0
    maps = [[pure[row, column] for column in range(3)] for row in range(2)]
    made = mosaic(
        maps,
        [[2.0] * 3] * 2,
        list("abc"),
        list("12"),
        x_name="x",
        y_name="y",
        title="t",
        captions=[["p"] * 3] * 2,
        best=[(1, 2)],
    )
    image = pixels(made).astype(int)
    place = place_of(made)
    height, width = image.shape[:2]
    for column, name in enumerate("abc"):
        for row, other in enumerate("12"):
            x, y = int(place[name][0] * width), int((1 - place[other][1]) * height)
            hue = int(np.argmax(image[y, x]))
            # Blue, orange and red by class: told apart by their channels.
            blue, orange = image[y, x, 2] > image[y, x, 0], image[y, x, 1] > 180 > image[y, x, 2]
            assert (0 if blue else 1 if orange else 2) == (column + row) % 3, (name, other, hue)


def test_coarser_maps_keep_their_halves_in_place():
    small = coarser(quarters(128), 32)
    assert small.shape == (32, 32, 3)
    np.testing.assert_allclose(small.sum(-1), quarters(32).sum(-1), rtol=1e-6)
    np.testing.assert_array_equal(small.argmax(-1), quarters(32).argmax(-1))
    assert coarser(quarters(7), 4).shape == (7, 7, 3), "odd sizes stay"


def test_a_place_without_a_map_is_said_to_have_none():
    made = mosaic([[quarters(8), None]], [[2.0, None]], ["1", "2"], [""], x_name="x", y_name="", title="t")
    assert [text.get_text() for text in texts_of(made)].count("no map") == 1 and pixels(made).std() > 5


def test_thinning_keeps_both_ends():
    assert thinned(range(3), 8) == [0, 1, 2]
    assert thinned(range(20), 5) == [0, 5, 10, 14, 19] or thinned(range(20), 5)[0::4] == [0, 19]
    assert len(thinned(range(100), 8)) == 8


def triples(*means):
    return np.array([[mean, mean * 0.9, mean * 1.05] for mean in means])


def drawn(figure):
    return figure.axes[0], figure.axes[1]


def test_lines_against_numbers_hold_the_values():
    one = Series("", [10, 100, 1000], 1 - triples(0.5, 0.1, 0.02), triples(1.0, 0.3, 0.1))
    made = against([one], x_name="parameters", title="t", bayes=([10, 1000], [0.99, 0.99], [0.03, 0.03]), best=(0, 2))
    left, right = drawn(made)
    assert left.get_xscale() == "log" and right.get_xscale() == "log"
    line = next(line for line in left.lines if len(line.get_xdata()) == 3 and line.get_linestyle() == "-")
    np.testing.assert_allclose(line.get_xdata(), [10, 100, 1000])
    np.testing.assert_allclose(line.get_ydata(), [0.5, 0.1, 0.02])
    (star,) = [line for line in right.lines if line.get_marker() == "*"]
    np.testing.assert_allclose([star.get_xdata()[0], star.get_ydata()[0]], [1000, 0.1])
    low, high = sorted(left.get_ylim())
    assert low < 0.01 and high > 0.5, "the limit and the worst point are in the picture"
    assert left.get_ylim()[0] > left.get_ylim()[1], "better is higher"


@pytest.mark.parametrize("x", [[1.0], [0.0, 1.0], [1, 2, 3, 4, 5], [0.001, 10.0]])
def test_charts_of_few_points_and_single_runs_are_drawn(x):
    values = np.full((len(x), 3), np.nan)
    values[:, 0] = 0.3
    series = [Series(name, x, values, values) for name in "ab"]
    made = against(series, x_name="x", title="t", series_name="s")
    assert pixels(made).std() > 3
    assert (drawn(made)[0].get_xscale() == "log") == (x == [0.001, 10.0])


def test_perfect_accuracy_and_names_in_place_of_numbers():
    one = Series(
        "", [0, 1], np.array([[1.0, 1.0, 1.0], [0.9, 0.8, 1.0]]), np.array([[1e-9, -1e-9, 3e-9], [0.1, 0.0, 0.2]])
    )
    made = against(
        [one], x_name="activation", title="t", names=["relu", "tanh"], bayes=([0, 1], [1.0, 0.9], [0.0, 0.1])
    )
    pixels(made)
    assert [label.get_text() for label in drawn(made)[0].get_xticklabels()] == ["relu", "tanh"]


def test_series_are_moved_apart_by_little():
    moved = offsets(3, np.array([1.0, 2.0, 3.0]), False)
    assert moved[1] == 0 and 0 < moved[2] <= 0.06 * 2
    factors = offsets(2, np.array([1.0, 10.0]), True)
    assert factors[0] * factors[1] == pytest.approx(1.0) and factors[1] < 1.1
    assert [short(v) for v in (0.02, 300, 10_000, 3e6)] == ["0.02", "300", "10k", "3M"]
    assert against_module.LOG_FROM > 1


def test_bands_reach_from_the_lowest_to_the_highest_seed():
    epochs = np.array([1.0, 2, 5, 10])
    values = np.array([[1.0, 0.5, 0.2, 0.1], [2.0, 0.7, 0.4, np.nan]])
    made = bands([("", [Curves("a", epochs, values)])], title="t", bayes=0.03)
    axes = made.axes[0]
    outline = axes.collections[0].get_paths()[0].vertices
    for epoch, low, high in zip(epochs[:3], (1.0, 0.5, 0.2), (2.0, 0.7, 0.4)):
        heights = outline[outline[:, 0] == epoch][:, 1]
        assert (heights.min(), heights.max()) == (low, high)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [1.5, 0.6, 0.3, 0.1])
    assert axes.get_xlim() == (1, 10) and axes.get_ylim()[0] < 0.03


def test_a_dot_stands_where_a_run_kept_its_weights():
    kept = [(3.0, 0.02), (7.0, 0.04)]
    made = bands([("", [Curves("a", np.arange(1.0, 9), np.full((2, 8), 0.5), kept)])], title="t")
    (dots,) = [line for line in made.axes[0].lines if line.get_linestyle() == "None"]
    assert np.transpose(dots.get_data()).tolist() == [[3.0, 0.02], [7.0, 0.04]]
    assert made.axes[0].get_ylim()[0] < 0.02


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, (20.0, 0.75)), ({"evaluated": "last"}, None), ({"best_epoch": None}, None), ({"validation": None}, None)],
)
def test_where_a_run_kept_its_weights(tmp_path, changes, expected):
    assert kept_of(Job(tmp_path, {}, "", "finished", None, result(0.25) | changes)) == expected
    assert kept_of(Job(tmp_path, {}, "")) is None


@pytest.mark.parametrize("charts", [1, 4, 5])
def test_several_charts_share_their_scales(charts):
    curves = [
        Curves(name, np.arange(1.0, 8), np.random.default_rng(k).uniform(0.1, 1, (3, 7))) for k, name in enumerate("ab")
    ]
    made = bands([(str(k), curves) for k in range(charts)], title="t", series_name="s")
    assert len({axes.get_ylim() for axes in made.axes}) == 1 and len(made.axes) == charts
    assert pixels(made).std() > 3


def test_one_epoch_and_missing_values_are_drawn():
    one = Curves("a", np.array([1.0]), np.array([[0.5]]))
    nothing = Curves("b", np.array([1.0, 2.0]), np.full((2, 2), np.nan))
    made = bands([("", [one, nothing])], title="t")
    assert pixels(made).std() > 3 and np.isfinite(made.axes[0].get_ylim()).all()


def test_the_ranking_keeps_its_order_and_its_limit_of_rows():
    count = MOST + 6
    values = [[0.1 + 0.01 * k, 0.11 + 0.01 * k] for k in range(count)]
    intervals = [(0.05 + 0.01 * k, 0.2 + 0.01 * k) for k in range(count)]
    intervals[3] = (np.nan, np.nan)
    made = ranking(
        [f"name{k}" for k in range(count)],
        values,
        intervals,
        [k < 5 for k in range(count)],
        title="t",
        x_name="x",
        bayes=0.03,
    )
    texts = {name: place[1] for name, place in place_of(made).items()}
    assert texts["★ name0"] > texts["name1"] > texts["name2"] and f"name{MOST}" not in texts and "and 6 more" in texts
    means = [line for line in made.axes[0].lines if line.get_marker() == "|"][0]
    np.testing.assert_allclose(means.get_xdata(), [np.sqrt(a * b) for a, b in values[:MOST]])
    assert pixels(made).std() > 3
    pixels(ranking(["a"], [[0.5]], [(np.nan, np.nan)], [True], title="t", x_name="x"))


def test_pictures_repeat_to_the_byte():
    made = [png_bytes(heat_map([cells(2, 2, 3)], "ab", "12", x_name="x", y_name="y", title="t")) for _ in range(2)]
    assert made[0] == made[1]


def settings_table(keys, rows, parameters=None) -> Table:
    settings = []
    for number, values in enumerate(rows):
        figures = {"accuracy": 0.9, "nll": 0.3}
        made = {"parameters": parameters[number] if parameters else 100, "fresh": figures, "validation": figures}
        jobs = [Job(None, {}, str(number), "finished", None, made)]
        settings.append(Setting(values, jobs, summaries_of(jobs)))
    return Table("t", list(keys), ["seed"], settings, "validation", [])


def test_width_comes_before_depth_and_constant_keys_are_no_axes():
    table = settings_table(["model.depth", "data.noise", "model.width"], [(1, 0.1, 8), (2, 0.1, 8), (1, 0.1, 16)])
    assert [axis.key for axis in axes_of(table)] == ["model.width", "model.depth"]
    assert axes_of(table)[1].name == "depth (hidden layers)" and axes_of(table)[0].is_number


def test_lists_of_widths_become_depth_and_budget():
    lists = ["[14]", "[9,5]", "[143]", "[30,26]"]
    table = settings_table(["model.hidden"], [(text,) for text in lists], [102, 101, 1005, 1004])
    depth, budget = axes_of(table)
    assert depth.at == [1, 2, 1, 2] and budget.at == [100, 100, 1000, 1000]
    twins = settings_table(["model.hidden"], [("[5,9]",), ("[9,5]",)], [101, 101])
    assert budgets(twins.settings, ["[5,9]", "[9,5]"]) is None, "two settings would share a place"
    assert [axis.key for axis in axes_of(twins)] == ["model.hidden"]
    assert [round_number(value) for value in (101, 1005, 137, 5)] == [100, 1000, 140, 5]
    assert INK.startswith("#")


def subtitles(table) -> dict[str, str]:
    """Give the second text of each figure, under its title."""
    return {drawing.name: texts_of(drawing.figure)[1].get_text() for drawing in draw(table)[0]}


def test_subtitles_say_what_is_shown_and_what_is_left_out(tmp_path):
    many = make_sweep(tmp_path / "many", widths=range(10, 20), depths=(1, 2), seeds=(0, 1), maps=True)
    said = subtitles(build([read_sweep(many)]))
    assert said["decision_maps"].startswith("the run of median NLL in each setting, its accuracy on fresh points")
    assert "★ selected" in said["decision_maps"] and "8 of 10 values of width" in said["decision_maps"]
    assert "over 2 seeds" in said["learning_curves"] and "8 of 10 values of width" in said["learning_curves"]
    assert "standard deviation over 2 seeds" in said["heat_map"]
    assert "95 % interval over 2 seeds" in said["against_parameters"]


def test_single_runs_are_not_said_to_have_a_spread(tmp_path):
    said = subtitles(build([read_sweep(make_sweep(tmp_path / "s", seeds=(0,)))]))
    for name in ("heat_map", "against_parameters", "learning_curves"):
        assert said[name].startswith("one run of each setting"), name
