"""The palette is chosen by measurement: measure it again, with matrices from the papers."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from mlplab.errors import InputError
from mlplab.plots.field import TINT, VEILED
from mlplab.plots.style import (
    COLOURS,
    MARKERS,
    class_names,
    encode_png,
    figure,
    gif_bytes,
    mix,
    pixels,
    png_bytes,
    rgb,
    save,
    text,
)

# Machado, Oliveira, Fernandes 2009, severity 1.0, on linear RGB.
MACHADO = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
# Vienot, Brettel, Mollon 1999, on linear RGB.
VIENOT = {
    "protan": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deutan": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}
# Ottosson 2020: linear sRGB to cone responses, and their cube roots to OKLab.
CONES = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
OKLAB = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]


def oklab(colour, vision):
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return np.array(OKLAB) @ np.cbrt(np.array(CONES) @ np.clip(np.array(vision) @ linear, 0, 1))


def worst_distance(colours):
    visions = [np.eye(3), *MACHADO.values(), *VIENOT.values()]
    return 100 * min(
        np.linalg.norm(oklab(a, vision) - oklab(b, vision))
        for vision in visions
        for a, b in itertools.combinations(colours, 2)
    )


def test_four_classes_stay_apart_for_every_kind_of_colour_vision():
    four = COLOURS[:4]
    assert worst_distance([rgb(c) for c in four]) > 14
    assert worst_distance([mix(c, 0.4, "#ffffff") for c in four]) > 6
    assert worst_distance([mix(c, TINT) for c in four]) > 9 and worst_distance([mix(c, VEILED) for c in four]) > 6
    # Against which the usual palette is no choice: 0.7 in the protan simulation.
    assert worst_distance([rgb(c) for c in ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728")]) < 1


def test_further_classes_keep_their_distance():
    for count, full, tint in ((2, 27, 11), (5, 14, 6), (6, 13, 5.4), (8, 11.5, 4.9), (10, 9.5, 4.1)):
        assert worst_distance([rgb(c) for c in COLOURS[:count]]) > full
        assert worst_distance([mix(c, 0.4, "#ffffff") for c in COLOURS[:count]]) > tint
    assert len({(k % len(COLOURS), k % len(MARKERS)) for k in range(90)}) == 90


def test_class_names_must_be_as_many_as_classes():
    assert class_names(2) == ["class 0", "class 1"] and class_names(1, [7]) == ["7"]
    with pytest.raises(InputError, match="3 names"):
        class_names(3, ["a"])


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 5, 3), (64, 90, 3)])
def test_png_reads_back_to_the_same_pixels(shape):
    image = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    with Image.open(io.BytesIO(encode_png(image))) as read:
        read.load()
        assert read.mode == "RGB" and not read.info
        np.testing.assert_array_equal(np.asarray(read), image)


def test_figures_have_the_pixels_asked_for_and_repeat(tmp_path):
    def make():
        made = figure(300, 120)
        text(made, 20, 60, "two words", 30)
        return made

    image = pixels(make())
    assert image.shape == (120, 300, 3)
    rows, columns = np.nonzero(image.sum(axis=-1) < 300)
    # The baseline stands at 60 pixels from the top and letters rise from it; they start at 20 from the left.
    assert 30 < rows.min() < 40 and rows.max() in (59, 60) and columns.min() in range(20, 24)
    path = save(make(), tmp_path / "new" / "figure.png")
    assert path.read_bytes() == png_bytes(make()) == make()._repr_png_()


def test_a_text_that_is_too_wide_is_made_to_fit():
    made = figure(400, 100)
    written = text(made, 10, 50, "a title that is much too long for so narrow a figure", 30, width=300)
    extent = written.get_window_extent(made.canvas.get_renderer())
    assert extent.width <= 300 and written.get_text().endswith("…")
    assert text(made, 10, 50, "short", 30, width=300).get_text() == "short"


@pytest.mark.parametrize(("aligned", "place"), [("right", 590), ("center", 345), ("left", 100)])
def test_a_text_that_was_measured_stands_where_it_belongs(aligned, place):
    def columns(**more):
        made = figure(700, 60)
        text(made, place, 40, f"hidden=[64,64,64,64] measured {aligned}", 22, ha=aligned, weight="bold", **more)
        return np.flatnonzero((pixels(made) < 128).any(axis=(0, 2)))

    # 490 pixels hold it as it is, but that shows only once it is measured.
    measured, plain = columns(width=490), columns()
    assert measured.tolist() == plain.tolist()
    edges = {"right": measured[-1], "center": measured[[0, -1]].mean(), "left": measured[0]}
    assert abs(edges[aligned] - place) <= 3


def test_a_person_s_dollar_signs_are_no_mathematics():
    made = figure(200, 100)
    text(made, 10, 50, "$x_1 {", 20)
    assert pixels(made).min() < 100


def test_gif_plays_its_frames():
    frames = [np.full((20, 30, 3), 255, np.uint8) for _ in range(3)]
    for index, frame in enumerate(frames):
        frame[:, 10 * index : 10 * index + 10] = np.round(255 * rgb(COLOURS[index])).astype(np.uint8)
    data = gif_bytes(frames, milliseconds=100, last_milliseconds=500)
    assert data == gif_bytes(frames, milliseconds=100, last_milliseconds=500)
    with Image.open(io.BytesIO(data)) as read:
        assert read.n_frames == 3 and read.info["loop"] == 0
        for index, frame in enumerate(frames):
            read.seek(index)
            assert np.abs(np.asarray(read.convert("RGB")).astype(int) - frame).max() == 0
            assert read.info["duration"] == (500 if index == 2 else 100)


def test_gif_refuses_frames_of_several_sizes():
    for frames in ([], [np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)]):
        with pytest.raises(InputError, match="frames"):
            gif_bytes(frames)
