"""Letters that the lab's font lacks, as in Chinese or Japanese names: from a font of this machine, or boxes and one line."""

import logging
import sys
import unicodedata
from functools import cache

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

FAMILY = "DejaVu Sans"
BOX = "□"
# Fonts that have a box of their own for every letter there is.
PLACEHOLDERS = ("last resort", "lastresort", "adobe blank")
_said: list[str] = []


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
