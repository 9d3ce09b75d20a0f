"""One style for every picture: colours chosen by measurement, letters that the fonts have, sizes in pixels, PNG bytes that repeat."""

import io
import logging
import struct
import sys
import unicodedata
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib import font_manager, rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from PIL import Image

from mlplab.errors import InputError
from mlplab.runs.files import write_bytes

DPI = 160
INK = "#1b1d24"
MUTED = "#5d6371"
FAINT = "#c9ccd3"
PAPER = "#fdfbf8"
BACKGROUND = "#ffffff"
# What a person's matplotlibrc may not change. Unhinted letters take half the time and scale evenly.
DRAWING = {
    "text.hinting": "none",
    "text.antialiased": True,
    "path.simplify": True,
    "path.sketch": None,
    "path.effects": [],
    "agg.path.chunksize": 0,
}

# Petroff's blue, orange, red and purple (arXiv 2107.02270), then his cyan, then colours found by the same
# measure: the worst pairwise OKLab distance over normal vision and three simulated colour deficiencies.
COLOURS = ("#3f90da", "#ffa90e", "#bd1f01", "#832db6", "#92dadd", "#406868", "#909068", "#f8e090", "#282858", "#58b8e8")
# Nine shapes beside ten colours: the pair stays unique up to ninety classes.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "p")

FAMILY = "DejaVu Sans"
BOX = "□"
# Fonts that have a box of their own for every letter there is.
PLACEHOLDERS = ("last resort", "lastresort", "adobe blank")
_said: list[str] = []


@cache
def class_colour(index: int) -> str:
    """Return the hex colour of class ``index`` (0, 1, ...): ten, then the same darker, then lighter; thirty in all."""
    plain, turn = COLOURS[index % len(COLOURS)], index // len(COLOURS) % 3
    if turn == 0:
        return plain
    shade = mix(plain, 0.55, INK if turn == 1 else BACKGROUND)
    return "#" + "".join(f"{round(255 * part):02x}" for part in shade)


def class_marker(index: int) -> str:
    """Return the marker of class ``index`` (0, 1, ...); the nine shapes repeat."""
    return MARKERS[index % len(MARKERS)]


def class_names(count: int, names=None) -> list[str]:
    """Return ``count`` class names: those given, or ``class 0``, ``class 1``, ..."""
    if names is not None and len(names) != count:
        raise InputError(f"class_names must be {count} names, one for each class, got {len(names)}")
    return [f"class {k}" for k in range(count)] if names is None else [str(name) for name in names]


def rgb(colour: str) -> np.ndarray:
    """Turn ``#rrggbb`` into an array of shape (3,), values in [0, 1]."""
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0


def mix(colour: str, share: float, other: str = PAPER) -> np.ndarray:
    """Mix ``share`` (0 to 1) of one colour with the rest of another, in sRGB; shape (3,)."""
    return share * rgb(colour) + (1.0 - share) * rgb(other)


class Picture(Figure):
    """Be a Figure that a notebook shows without pyplot; ``square`` is the map in it, where there is one."""

    square = None

    def _repr_png_(self) -> bytes:
        return png_bytes(self)


def figure(width: int, height: int, background: str = BACKGROUND) -> Figure:
    """Make an empty figure of ``width`` x ``height`` pixels with the Agg canvas and no pyplot state."""
    made = Picture(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=background, layout="none")
    FigureCanvasAgg(made)
    return made


def page(width: int, height: int, title: str, subtitle: str = "", *, left: int = 60) -> Figure:
    """Make a figure of ``width`` x ``height`` pixels with a title and a subtitle from ``left`` pixels on."""
    made = figure(width, height)
    text(made, left, 50, title, 32, width=width - left - 40, weight="bold")
    text(made, left, 90, subtitle, 23, width=width - left - 40, color=MUTED)
    return made


def points_of(pixels: float) -> float:
    """Convert a length in pixels to points, the unit of line widths, fonts and markers."""
    return pixels * 72.0 / DPI


def text(figure: Figure, x: float, y: float, words: str, size: float, *, width: float | None = None, **kwargs):
    """Write words at pixels from the figure's left and top; a text wider than ``width`` is made to fit.

    Args:
        figure: the figure to write on.
        x: pixels from the left edge.
        y: pixels from the top edge, of the baseline unless ``va`` says otherwise.
        words: what to write.
        size: height of the font in pixels.
        width: pixels at hand; the font shrinks by a quarter at most, then the end becomes an ellipsis.
        **kwargs: passed to ``Text``.

    Returns:
        The matplotlib ``Text``.
    """
    across, down = figure.get_size_inches() * DPI
    words, families = with_letters(words, kwargs.get("weight", "normal"))
    written = Text(
        x / across,
        1.0 - y / down,
        words,
        fontsize=points_of(size),
        fontfamily=families,
        **{"color": INK, "va": "baseline", "parse_math": False, **kwargs},
    )
    # An average character of the font is 0.6 of its height: measure only what may be too wide.
    figure.add_artist(written)
    if width is not None and 0.78 * size * len(words) > width:
        fit(written, width)
    return written


def with_letters(words: str, weight: str = "normal") -> tuple[str, list[str]]:
    """Give words as they can be drawn, and the families of fonts that have their letters.

    Args:
        words: what is to be written.
        weight: of the font.

    Returns:
        The words, a box in the place of each letter that no installed font has; and :data:`FAMILY`, with a further
        family behind it where that alone does not have them all.
    """
    if words.isascii():
        return words, [FAMILY]
    words = "".join(letter for letter in words if unicodedata.category(letter) != "Cf")  # joiners have no picture
    missing = frozenset(map(ord, words.replace("\n", ""))) - _letters(_file(FAMILY, weight))
    if not missing:
        return words, [FAMILY]
    family = _family_with(missing)
    nowhere = missing if family is None else missing - _letters(_file(family, weight))
    if nowhere:
        if not _said:  # once: of one script, one letter tells
            _said.append(shown := next(letter for letter in words if ord(letter) in nowhere))
            print(
                f"note: no installed font has the letter {shown}; in pictures {BOX} stands for it and its like "
                "(Noto Sans CJK has most)",
                file=sys.stderr,
            )
        words = "".join(BOX if ord(letter) in nowhere else letter for letter in words)
    return words, [FAMILY] if family is None else [FAMILY, family]


def _file(family: str, weight: str) -> str:
    return font_manager.findfont(font_manager.FontProperties(family=family, weight=weight))


@cache
def _letters(path: str) -> frozenset[int]:
    return frozenset(FT2Font(path).get_charmap())


@cache
def _family_with(missing: frozenset[int]) -> str | None:
    """Find the installed family that has most of some letters; of equal ones the first by name. None where none has any."""
    best, most = None, 0
    for name, path in sorted({(font.name, font.fname) for font in font_manager.fontManager.ttflist}):
        try:
            count = 0 if any(word in name.lower() for word in PLACEHOLDERS) else len(missing & _letters(path))
        except (OSError, RuntimeError):  # gone since, or no font that FreeType reads
            continue
        if count > most:
            best, most = name, count
        if most == len(missing):
            break
    if best is not None:  # it need not have every weight; the nearest is taken
        logging.getLogger(font_manager.__name__).addFilter(
            lambda record: "Failed to find font weight" not in record.msg
        )
    return best


def width_of(written: Text) -> float:
    """Measure a text in its figure's pixels, with its letters as they will be drawn."""
    # Matplotlib remembers what it measured: a text measured hinted would be laid out so, and drawn unhinted
    # end some pixels beside its place.
    with rc_context(DRAWING):
        return written.get_window_extent(written.get_figure(root=True).canvas.get_renderer()).width


def fit(written: Text, width: float) -> None:
    """Shrink a text to ``width`` pixels by a quarter at most, then cut its end."""

    def excess():
        return width_of(written) / width

    over = excess()
    if over > 1.0:
        # A little smaller than the ratio says: widths do not shrink quite evenly.
        written.set_fontsize(written.get_fontsize() * max(0.75, 0.95 / over))
    words = written.get_text()
    while excess() > 1.0 and len(words) > 1:
        words = words[: max(1, min(len(words) - 1, int(len(words) / excess())))]
        written.set_text(words.rstrip() + "…")


def pixels(figure: Figure) -> np.ndarray:
    """Draw a figure; returns its pixels, shape (height, width, 3), uint8, the top row first."""
    with rc_context(DRAWING):
        figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba())
    out = np.empty((*drawn.shape[:2], 3), np.uint8)
    # A channel at a time: one copy of [..., :3] takes six times as long.
    for channel in range(3):
        out[..., channel] = drawn[..., channel]
    return out


def encode_png(image: np.ndarray) -> bytes:
    """Encode an image of shape (height, width, 3), uint8, as PNG: equal pixels give equal bytes.

    Pictures of flat areas pack best without a row filter: a third of the time of Pillow's encoder at the
    same size.
    """
    height, width, _ = image.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)
    rows[:, 1:] = image.reshape(height, -1)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packed = zlib.compressobj(2, zlib.DEFLATED, 15, 9)
    out = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    out.seek(0, io.SEEK_END)
    out.write(chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)))
    out.write(chunk(b"IDAT", packed.compress(rows.data) + packed.flush()))
    out.write(chunk(b"IEND", b""))
    return out.getvalue()


def png_bytes(figure: Figure) -> bytes:
    """Draw a figure and return it as PNG bytes, equal for equal figures."""
    return encode_png(pixels(figure))


def vector_bytes(figure: Figure, form: str, *, resolution: int = 300) -> bytes:
    """Draw a figure as SVG or PDF: words are text, lines are lines, and colours of a map an image.

    Args:
        figure: as the plots make it.
        form: ``"svg"`` or ``"pdf"``.
        resolution: of images, in pixels an inch.

    Returns:
        The file, equal for equal figures.
    """
    buffer = io.BytesIO()
    options = {"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "mlplab"}
    # Without a date: equal pictures have equal bytes.
    metadata = {"Date": None} if form == "svg" else {"CreationDate": None}
    with rc_context(DRAWING | options):
        figure.savefig(buffer, format=form, dpi=resolution, metadata=metadata)
    return buffer.getvalue()


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, making the folder; returns the path."""
    path = Path(path)
    write_bytes(path, png_bytes(figure), sync=False)
    return path


def gif_bytes(frames, *, milliseconds: int = 350, last_milliseconds: int = 2000, colours: int = 64) -> bytes:
    """Encode frames as a GIF that repeats for ever.

    Args:
        frames: arrays of shape (height, width, 3), uint8, all of one size; see ``style.pixels``.
        milliseconds: how long each frame stands; ``last_milliseconds`` the last.
        colours: of the palette that all frames share, 16 to 256.

    Returns:
        The GIF's bytes; equal frames give equal bytes.

    Raises:
        InputError: for no frames, or frames of several sizes.
    """
    sizes = {np.shape(frame) for frame in frames}
    if len(sizes) != 1:
        raise InputError(f"frames must be one or more of one size, got {len(frames)} of {len(sizes)} sizes")
    images = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    palette = Image.new("P", (1, 1))
    palette.putpalette(shared_palette(images, colours).ravel().tolist())
    # Without dithering flat areas stay flat, which is what GIF packs.
    indexed = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    out = io.BytesIO()
    times = [milliseconds] * (len(indexed) - 1) + [last_milliseconds]
    indexed[0].save(out, "GIF", save_all=True, append_images=indexed[1:], duration=times, loop=0, optimize=False)
    return out.getvalue()


def shared_palette(images, colours: int) -> np.ndarray:
    """Choose one palette for all frames, so that colours do not flicker; uint8 of shape (colours, 3).

    The lab's own colours come first, so that points, letters and white stay true; then the commonest others,
    and the rest from cutting all colours at medians, for the shades between.
    """
    strip = np.concatenate([np.asarray(image)[::2, ::2].reshape(-1, 3) for image in images])
    own = np.round([255 * rgb(colour) for colour in (BACKGROUND, INK, *COLOURS)]).astype(np.uint8)
    own = np.stack([colour for colour in own if (strip == colour).all(axis=1).any()] or [own[0]])[:colours]
    place = (strip.astype(np.int32) >> 3) @ np.array([1024, 32, 1])
    counts = np.bincount(place, minlength=32768)
    common = np.argsort(-counts, kind="stable")[: (colours - len(own)) // 2]
    # The mean of a bin that is one flat colour is that colour.
    sums = [np.bincount(place, strip[:, channel], 32768)[common] for channel in range(3)]
    flat = np.round(np.stack(sums, axis=-1) / np.maximum(counts[common], 1)[:, None])
    left = max(colours - len(own) - len(common), 1)
    cut = Image.fromarray(strip[None]).quantize(left, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    entries = np.array(cut.getpalette()).reshape(-1, 3)[:left]
    return np.concatenate([own, flat.astype(np.uint8), entries.astype(np.uint8)])
