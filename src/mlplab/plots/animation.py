"""Frames to an animated GIF that is small enough for TensorBoard and a README."""

import io

import numpy as np
from PIL import Image

from mlplab.errors import InputError


def gif_bytes(frames, *, milliseconds: int = 350, last_milliseconds: int = 2000, colours: int = 64) -> bytes:
    """Encode frames as a GIF that repeats for ever.

    Args:
        frames: arrays of shape (height, width, 3), uint8, all of one size; see ``style.pixels``.
        milliseconds: how long each frame stands; ``last_milliseconds`` the last.
        colours: of the palette that all frames share, 2 to 256.

    Returns:
        The GIF's bytes; equal frames give equal bytes.

    Raises:
        InputError: for no frames, or frames of several sizes.
    """
    sizes = {np.shape(frame) for frame in frames}
    if len(sizes) != 1:
        raise InputError(f"frames must be one or more of one size, got {len(frames)} of {len(sizes)} sizes")
    images = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    # One palette from all frames side by side, shrunk: colours do not flicker, and letters keep their ink.
    strip = np.concatenate([np.asarray(image)[::3, ::3] for image in images])
    palette = Image.fromarray(strip).quantize(
        colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    entries = np.array(palette.getpalette()[: 3 * colours]).reshape(-1, 3)
    entries[entries.sum(axis=1).argmax()] = 255
    palette.putpalette(entries.ravel().tolist())
    # Without dithering flat areas stay flat, which is what GIF packs.
    indexed = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    out = io.BytesIO()
    times = [milliseconds] * (len(indexed) - 1) + [last_milliseconds]
    indexed[0].save(
        out, "GIF", save_all=True, append_images=indexed[1:], duration=times, loop=0, optimize=False
    )
    return out.getvalue()
