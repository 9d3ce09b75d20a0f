"""Names in letters that the lab's font lacks: another font draws them, or boxes stand for them and one line says so."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from matplotlib import font_manager

from mlplab.plots import style as letters
from mlplab.plots.calibration import calibration
from mlplab.plots.decision_map import decision_map
from mlplab.plots.style import BOX, FAMILY, pixels, with_letters

KANJI = "花瓣"


@pytest.fixture
def bundled(monkeypatch):
    """The fonts that matplotlib brings, and no others."""
    own = [font for font in font_manager.fontManager.ttflist if "mpl-data" in font.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    letters._family_with.cache_clear()
    monkeypatch.setattr(letters, "_said", [])
    yield
    letters._family_with.cache_clear()


@pytest.mark.parametrize("words", ["petal length", "Länge · R ∞ ≤ ★ −1 τ", "", "two\nlines"])
def test_the_labs_font_has_what_most_names_need(words):
    assert with_letters(words) == (words, [FAMILY])
    assert with_letters(words, "bold") == (words, [FAMILY])


def test_a_letter_that_no_font_has_is_a_box_and_said_once(bundled, capsys):
    assert with_letters(f"{KANJI} a") == (f"{BOX}{BOX} a", [FAMILY])
    assert with_letters(KANJI, "bold")[0] == BOX * 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"no installed font has the letter {KANJI[0]}" in said


def test_another_font_has_the_letter(bundled, capsys):
    own = letters._letters(font_manager.findfont(FAMILY))
    stix = letters._letters(font_manager.findfont("STIXGeneral"))
    letter = next(chr(code) for code in sorted(stix - own) if code > 0x2000 and chr(code).isprintable())
    words, families = with_letters(f"a {letter}")
    assert words == f"a {letter}" and families[0] == FAMILY and len(families) == 2
    assert capsys.readouterr().err == ""


def test_names_in_any_script_draw_without_a_warning_of_matplotlibs(bundled):
    names = ["あやめ", "한국어", "iris"]
    grid = np.full((8, 8, 3), 1 / 3)
    points = np.random.default_rng(0).uniform(-1, 1, (30, 2))
    labels = np.arange(30) % 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for made in (
            decision_map(grid, 1.0, points, labels, class_names=names, axis_names=(KANJI, "العربية"), title=KANJI),
            calibration(np.full((30, 3), 1 / 3), labels, class_names=names, title="한국어"),
        ):
            assert pixels(made).std() > 0


def test_a_run_on_a_table_in_japanese_says_one_line(tmp_path):
    rows = [f"{k + 0.1 * i % 1:.2f},{i % 7},{'桜梅'[k]}" for i in range(30) for k in (0, 1)]
    (tmp_path / "花.csv").write_text("\n".join(["長さ,幅,種類", *rows]), encoding="utf-8")
    words = (
        "train data=file data.path=花.csv data.batch_size=8 trainer.max_epochs=1 name=one figures=all paths.logs=logs"
    )
    script = (
        "import sys; from matplotlib import font_manager as f;"
        "f.fontManager.ttflist = [one for one in f.fontManager.ttflist if 'mpl-data' in one.fname];"
        "from mlplab.cli.app import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", script, *words.split()], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("train: ", "epoch "))]
    assert len(lines) == 1 and lines[0].startswith("note: no installed font has the letter ")
