"""The pages of a run and of a sweep in a real browser, made by real runs: what they show is what the runs hold."""

import csv
import json
import re
import time

import numpy as np
import pytest
import torch

from mlplab.cli.app import main
from mlplab.data.modules import SpiralDataModule
from mlplab.faults.browser import poor_words
from mlplab.nn.mlp import MLP
from mlplab.pages.lif_explorer import lif_explorer
from mlplab.pages.page import law_of, within
from mlplab.pages.report_page import WEIGHT_BYTES, fitting, report_page, thinned_curves
from mlplab.report.page import of_units
from mlplab.runs.checkpoint import ARRAYS, read_snapshots
from mlplab.runs.folder import RunFolder

ENTER, DOWN, RIGHT, LEFT = "\ue007", "\ue015", "\ue014", "\ue012"
QUICK = ["trainer.max_epochs=5", "figures=map", "launcher=inline", "callbacks.progress=null"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run of the spiral, one of a table with names that hold HTML, and a sweep of 2 x 2 x 2."""
    logs = tmp_path_factory.mktemp("logs")
    table = logs / "table.csv"
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3)) * [1, 50, 0.01] + [0, 1000, 5]
    names = np.array(["<b>a</b>", "b & c"])[(x[:, 0] * (x[:, 1] - 1000) > 0).astype(int)]
    with open(table, "w", newline="") as file:
        csv.writer(file).writerows(
            [["one", "<i>two</i>", "three", "label"], *([*row, name] for row, name in zip(x, names))]
        )
    place = [f"paths.logs={logs}", *QUICK]
    assert main(["train", "model.hidden=[9,7]", "name=one", *place]) == 0
    assert (
        main(["train", "data=file", f"data.path={table}", "data.batch_size=32", "model.hidden=[8]", "name=two", *place])
        == 0
    )
    assert main(["train", "-m", "model.width=4,12", "model.depth=1,2", "seed=0,1", "sweep=grid", *place]) == 0
    assert main(["report", str(logs / "sweep" / "grid")]) == 0
    (logs / "explorer.html").write_text(lif_explorer(), encoding="utf-8")
    return logs


@pytest.fixture(scope="module")
def page(browser):
    browser.screen(1280, 1000)
    return browser


def load(page, path, state=""):
    page.open("about:blank")
    page.open(path.as_uri() + state)


def text(page, selector):
    return page.script("return document.querySelector(arguments[0]).textContent", selector)


def test_snapshots_are_the_weights_on_the_way(runs):
    folder = RunFolder(runs / "train" / "one")
    arrays = read_snapshots(folder)
    assert arrays["epochs"].tolist() == [0, 1, 2, 5] and arrays["widths"].tolist() == [2, 9, 7, 4]
    model = MLP(2, [9, 7], 4, seed=0)
    np.testing.assert_array_equal(arrays["weights"][0], torch.cat([p.flatten() for p in model.parameters()]).detach())
    torch.nn.utils.vector_to_parameters(torch.from_numpy(arrays["chosen"]), model.parameters())
    data = SpiralDataModule()
    data.setup()
    with torch.no_grad():
        probabilities = model(data.test.x).softmax(1)
    np.testing.assert_allclose(arrays["probabilities"], probabilities, atol=1e-5)
    result = json.loads(folder.result.read_text())
    assert int(arrays["epoch"]) == result["best_epoch"]


def test_damaged_snapshots_are_none(tmp_path):
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    assert read_snapshots(folder) is None
    (folder.checkpoints / "snapshots.npz").write_bytes(b"PK no archive")
    assert read_snapshots(folder) is None
    np.savez(folder.checkpoints / "snapshots.npz", widths=np.zeros(2))
    assert read_snapshots(folder) is None
    arrays = dict.fromkeys(ARRAYS, np.zeros(2))
    np.savez(folder.checkpoints / "snapshots.npz", **arrays)
    assert read_snapshots(folder).keys() == ARRAYS.keys()
    np.savez(folder.checkpoints / "snapshots.npz", **arrays | {"widths": np.array([{}])})  # a pickle
    assert read_snapshots(folder) is None


def test_the_page_of_a_run_shows_its_network(page, runs):
    path = runs / "train" / "one" / "run.html"
    html = path.read_text(encoding="utf-8")
    assert len(html.encode()) < 400_000
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!#)|@import|url\(|https?:|fetch\(", html)
    load(page, path)
    arrays = read_snapshots(RunFolder(runs / "train" / "one"))
    shown = np.array(page.script("return Array.from(probabilitiesNow())")).reshape(4, -1).T
    np.testing.assert_allclose(shown, arrays["probabilities"], atol=1e-5)
    result = json.loads((runs / "train" / "one" / "result.json").read_text())
    wrong = page.script("details.wrong(); return document.getElementById('wrongSays').textContent")
    assert wrong.startswith(f"{round(800 * (1 - result['test']['accuracy']))} of 800")
    error = page.script("return calibrationBins(probabilitiesNow(), points, K).error")
    assert error == pytest.approx(result["test"]["calibration_error"], abs=1e-3)
    assert "model.hidden" in text(page, "#config table") and "trainer.max_epochs" in text(page, "#config table")
    assert "data.noise" not in text(page, "#config table")
    page.keys("#filter", "noise")
    assert "data.noise" in text(page, "#config table")
    page.keys("#when", LEFT)
    assert text(page, "#epoch").startswith("epoch") and page.script("return view.at") >= 0
    for number in range(1, 7):
        page.click(f"#tabs button:nth-child({number})")
    page.script("scrollTo(0, 0)")
    box = page.box("#stage canvas")
    page.drag((box["x"] + 50, box["y"] + 60), (box["x"] + 90, box["y"] + 90))
    assert "Bayes: class" in text(page, "#readout") and "%" in text(page, "#readout")
    page.script("document.getElementById('zoom').value = '4'; document.getElementById('zoom').onchange()")
    time.sleep(0.2)
    kept = page.address_now()
    assert "zoom=4" in kept
    load(page, path, kept[kept.index("#") :])
    assert page.script("return view.zoom") == 4
    assert page.warnings() == []


def test_a_table_is_shown_in_its_own_units_and_its_names_do_no_harm(page, runs):
    path = runs / "train" / "two" / "run.html"
    html = path.read_text(encoding="utf-8")
    assert "<b>a" not in html and "<i>two" not in html
    load(page, path)
    arrays = read_snapshots(RunFolder(runs / "train" / "two"))
    shown = np.array(page.script("return Array.from(probabilitiesNow())")).reshape(2, -1).T
    np.testing.assert_allclose(shown, arrays["probabilities"], atol=1e-5)
    given = np.array(page.script("return Array.from(given.x)")).reshape(3, -1).T
    assert 900 < given[:, 1].mean() < 1100
    again = page.script("return Array.from(lens.probabilities(inputs(given.x, given.count), given.count))")
    np.testing.assert_allclose(np.array(again).reshape(2, -1).T, shown, atol=1e-3)
    assert page.script("return document.querySelectorAll('#classes b, table b, option i').length") == 0
    assert "<b>a</b>" in text(page, "#classes")
    page.script("document.getElementById('featureA').value = 2; document.getElementById('featureA').onchange()")
    assert page.script("return view.pair")[0] == 2
    for number in range(1, 8):
        page.click(f"#tabs button:nth-child({number})")
    assert page.warnings() == []


def test_the_page_of_a_sweep_is_sorted_filtered_and_opened(page, runs):
    folder = runs / "sweep" / "grid"
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert len(html.encode()) < 3_000_000
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!#)|@import|url\(|https?:|fetch\(", html)
    load(page, folder / "report.html")
    rows = "return [...document.querySelectorAll('#table tbody tr')].map(tr => [...tr.cells].map(td => td.textContent))"
    assert len(page.script(rows)) == 4 and page.script("return rows[0].best") is True
    page.keys('[data-sort="parameters"]', ENTER)
    counts = [int(row[3].replace(",", "")) for row in page.script(rows)]
    assert counts == sorted(counts)
    page.keys('[data-sort="parameters"]', ENTER)
    assert [int(row[3].replace(",", "")) for row in page.script(rows)] == counts[::-1]
    page.keys("#filter", "width=4 depth>1")
    assert [row[:2] for row in page.script(rows)] == [["4", "2"]]
    page.keys("#table tbody tr", ENTER)
    assert text(page, "#cellTitle").startswith("width=4 depth=2")
    page.script("$('filter').value = ''; $('filter').oninput()")
    page.keys("#table tbody tr", DOWN + ENTER)
    assert page.script("return view.open === +document.querySelectorAll('#table tbody tr')[1].dataset.row")
    page.keys("#heat", RIGHT + ENTER)
    assert text(page, "#cellTitle").startswith("width=12 depth=1")
    command, opened = text(page, "#command"), str(page.script("return view.open"))
    for link in (
        page.script("return $('toPlayground').getAttribute('href')"),
        page.script("return rows[0].playground"),
    ):
        assert link.startswith("playground.html#data=spiral") and "x=seed:0,1" in link
    page.click("#toPlayground")
    assert page.script("return $('command').textContent").startswith("scripts/lab train -m ")
    assert page.script("return [settings.length, settings[1].model.width, settings[1].seed]") == [2, 12, 1]
    load(page, folder / "report.html", "#open=" + opened)
    assert command.startswith("scripts/lab train -m model.width=12 ") and command.endswith(
        "trainer.max_epochs=5 seed=0,1"
    )
    # The maps' networks are the runs': their weights at half precision.
    link = page.script("return rows[view.open].runs[0].link")
    arrays = read_snapshots(RunFolder((folder / link).resolve().parent))
    theta = page.script("return Array.from(weightsOf(netOf(rows[view.open].runs[0]), null).theta)")
    np.testing.assert_array_equal(theta, arrays["chosen"].astype(np.float16).astype(float))
    # At first each map is of the epoch that its run was measured at, which differs from run to run.
    assert page.script("return view.at") is None and text(page, "#epoch") == "as measured"
    assert f"epoch {int(arrays['epoch'])}" in text(page, "#maps figcaption")
    # ± in the table is the standard deviation, as on the terminal.
    values = page.script("return rows[view.open].runs.map(run => run.figures['fresh/nll'])")
    assert page.script("return rows[view.open].figures['fresh/nll'].sd") == pytest.approx(np.std(values, ddof=1))
    assert "±: standard deviation over seeds." in text(page, "#shownSays")
    page.script("$('mode').value = 'bayes'; $('mode').onchange()")
    assert page.script("return document.querySelectorAll('#maps canvas').length") == 2
    assert float(page.script("return document.documentElement.dataset.mapMs")) < 1000
    time.sleep(0.2)
    kept = page.address_now()
    load(page, folder / "report.html", kept[kept.index("#") :])
    assert text(page, "#cellTitle").startswith("width=12 depth=1") and page.script("return view.mode") == "bayes"
    assert page.warnings() == []


PAGES = [
    "train/one/run.html",
    "train/two/run.html",
    "sweep/grid/report.html",
    "train/one/playground.html",
    "explorer.html",
]
# What is written on canvases stands on one of these.
ON_CANVAS = """const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim(), rgb = c => (c.length === 4 ? [...c.slice(1)].map(h => h + h) : c.match(/[0-9a-f]{2}/gi)).map(h => parseInt(h, 16) / 255)
const light = c => rgb(c).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((s, v, k) => s + v * [0.2126, 0.7152, 0.0722][k], 0)
return ['--ink', '--muted', '--limit', '--train', '--validation'].flatMap(ink => ['--card', '--map', '--paper'].map(paper => {
  const [a, b] = [light(css(ink)), light(css(paper))].sort((p, q) => q - p); return [ink + ' on ' + paper, (a + 0.05) / (b + 0.05)] })).filter(([, ratio]) => ratio < 4.5)"""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_every_word_can_be_read_nothing_sticks_out_and_nothing_is_asked_for(page, runs, name, theme, width, tmp_path):
    html = (runs / name).read_text(encoding="utf-8")
    assert not re.search(
        r"(src|href)\s*=\s*[\"'](?!#)|@import|url\((?!#)|https?:|fetch\(|XMLHttp|WebSocket|importScripts", html
    )
    page.screen(width, 844)
    load(page, runs / name, f"#theme={theme}")
    if name.endswith("run.html"):  # every part of it, folded ones too
        page.script("$('differing').click(); document.querySelectorAll('details').forEach(d => { d.open = true })")
    for number in range(1, 1 + page.script("return document.querySelectorAll('#tabs button').length")):
        page.script("document.querySelector(`#tabs button:nth-child(${arguments[0]})`).click()", number)
        assert poor_words(page) == []
        assert page.script("return document.documentElement.scrollWidth") <= width
    assert poor_words(page) == [] and page.script("return document.documentElement.scrollWidth") <= width
    assert name == "explorer.html" or page.script(ON_CANVAS) == []
    (tmp_path / "screen.png").write_bytes(page.screenshot())  # to be looked at
    asked = page.script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [entry for entry in asked if not entry.startswith("blob:")] == []
    page.screen(1280, 1000)
    assert page.warnings() == []


def test_hostile_names_stay_text_on_every_page(page, runs, tmp_path):
    bad = "</script><img src=x onerror=\"document.title='owned'\">"
    with open(tmp_path / "t.csv", "w", newline="") as file:
        rows = [[k % 7, k % 5, k % 3, bad if k % 2 else "plain"] for k in range(200)]
        csv.writer(file).writerows([[bad, "'\"&", "${x}", "label"], *rows])
    place = [
        f"paths.logs={tmp_path}",
        *QUICK,
        "trainer.max_epochs=1",
        "data=file",
        f"data.path={tmp_path / 't.csv'}",
        "data.label=label",
    ]
    assert main(["train", "name=x", "data.batch_size=16", *place]) == 0
    assert main(["train", "-m", "data.batch_size=8,16", "seed=0,1", "sweep=y", *place]) == 0
    assert main(["report", str(tmp_path / "sweep" / "y")]) == 0
    for path in (tmp_path / "train" / "x" / "run.html", tmp_path / "sweep" / "y" / "report.html"):
        load(page, path, f"#filter={bad}&x={bad}&theme={bad}")
        assert (
            page.script("return document.querySelectorAll('img[src=x]').length") == 0
            and page.script("return document.title") != "owned"
        )
        assert page.warnings() == []
    for path in (runs / "train" / "one" / "playground.html", runs / "explorer.html"):
        load(page, path, f"#data={bad}&x={bad}:1&R={bad}&base={bad}&pins={bad}&points={bad}")
        assert (
            page.script("return document.querySelectorAll('img[src=x]').length") == 0
            and page.script("return document.title") != "owned"
        )
        assert page.warnings() == []


def network(size, epochs):
    shape = {"widths": [2, 3, 2], "activation": "relu", "dropout": 0, "extent": [-1, 1, -1, 1], "law": None}
    return shape | {"snapshots": [(epoch, np.zeros(size, np.float32)) for epoch in epochs]}


def test_what_does_not_fit_into_a_page_is_left_out_and_said():

    def run(name, size):
        return {"name": name, "network": network(size, [0, 5, 10])}

    rows = [{"median": 1, "runs": [run("a", 200_000), run("b", 200_000)]} for _ in range(3)]
    kept, note = fitting(rows)
    assert {(r, 1, 2) for r in range(3)} <= kept and 2 * 200_000 * len(kept) <= WEIGHT_BYTES
    assert note.startswith("To keep the page small it lacks weights: ")
    assert "2 other runs" in note and "6 epochs of median runs" in note
    assert fitting([{"median": 0, "runs": [run("a", 10)]}]) == ({(0, 0, 0), (0, 0, 1), (0, 0, 2)}, "")
    snapshots = [(k, "", np.zeros(20_000, np.float32)) for k in range(5)]
    left, chosen, note = within(snapshots, 2)
    assert [entry[0] for entry in left] == [2, 4] and chosen == 0 and "0, 1, 3" in note
    assert within([(1, "", np.zeros(10**6, np.float32))], 0)[0] == [] and within([], 0) == ([], 0, "")


def test_a_large_sweep_stays_under_three_megabytes():
    """5 widths x 4 depths x 5 seeds x 8 epochs."""
    rng = np.random.default_rng(0)
    rows = []
    for width in (8, 16, 32, 64, 128):
        for depth in (1, 2, 3, 4):
            size = 3 * width + (depth - 1) * width * (width + 1) + 4 * (width + 1)
            made = [network(size, range(8)) for _ in range(5)]
            for one in made:
                one["snapshots"] = [(e, rng.normal(size=size).astype(np.float32)) for e, _ in one["snapshots"]]
            runs = [
                {
                    "name": f"r{s}",
                    "link": None,
                    "seed": f"seed={s}",
                    "status": "finished",
                    "figures": {},
                    "network": one,
                    "history": {
                        "epoch": list(range(1, 101)),
                        "train": rng.random(100).tolist(),
                        "validation": rng.random(100).tolist(),
                    },
                }
                for s, one in enumerate(made)
            ]
            rows.append(
                {
                    "values": [str(width), str(depth)],
                    "label": f"width={width}",
                    "count": 5,
                    "finished": 5,
                    "parameters": size,
                    "best": False,
                    "near": False,
                    "limit": None,
                    "command": "",
                    "playground": None,
                    "figures": {},
                    "runs": runs,
                    "extra": [],
                    "median": 0,
                }
            )
    html = report_page(
        {
            "title": "t",
            "lead": [],
            "note": "",
            "sections": [],
            "fixed": [],
            "keys": ["model.width", "model.depth"],
            "short": ["width", "depth"],
            "extra": [],
            "pictures": [],
            "metrics": [{"key": "fresh/nll", "label": "NLL", "percent": False, "higher": False}],
            "rows": rows,
        }
    )
    assert len(html.encode()) < 3_000_000


def test_small_parts_of_the_pages():
    assert thinned_curves({"epoch": [], "train": []}) == {"epoch": [], "train": []}
    long = thinned_curves({"epoch": list(range(1000)), "train": [0.123456] * 1000})
    assert (
        long["epoch"][0] == 0 and long["epoch"][-1] == 999 and len(long["epoch"]) == 40 and long["train"][0] == 0.1235
    )
    assert law_of({"_target_": "mlplab.data.file_module.FileDataModule"}) is None
    assert law_of({"_target_": "mlplab.data.modules.MoonsDataModule", "noise": 0.3})["classes"] == 2
    assert law_of({"_target_": "my.own.MoonsDataModule"}) is None
    model = MLP(3, [5], 2, seed=1)
    flat = torch.cat([p.flatten() for p in model.parameters()]).detach().numpy()
    shift, scale = np.array([1.0, -2.0, 3.0]), np.array([2.0, 0.5, 10.0])
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    expected = model(x)
    torch.nn.utils.vector_to_parameters(torch.from_numpy(of_units(flat, 5, shift, scale)), model.parameters())
    torch.testing.assert_close(
        model((x * torch.tensor(scale) + torch.tensor(shift)).float()), expected, atol=1e-5, rtol=1e-4
    )
    assert of_units(flat, 5, np.zeros(3), np.ones(3)) is flat


def test_the_page_of_a_run_is_titled_by_its_network_and_what_was_changed(tmp_path):
    from mlplab.cli.app import main

    assert main(["train", "trainer.max_epochs=1", "data.fresh_points=100", "name=a", f"paths.logs={tmp_path}"]) == 0
    assert "<title>MLP 2–128–4 (ReLU): " in (tmp_path / "train" / "a" / "run.html").read_text(encoding="utf-8")
