"""Frames to an animated GIF that is small enough for TensorBoard and a README."""

import io

import numpy as np
from PIL import Image

from mlplab.errors import InputError
from mlplab.plots.style import BACKGROUND, COLOURS, INK, rgb


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
