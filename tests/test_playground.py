"""The playground in a real browser: driven by clicks and keys, and equal to the command that it names."""

import json
import re
import shlex
import time

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from mlplab.cli.app import main
from mlplab.config.composition import compose
from mlplab.faults.browser import poor_words
from mlplab.nn.mlp import MLP
from mlplab.pages.page import address, lab_defaults, options_of, playground

ENTER, ESCAPE, RIGHT, UP, SPACE = "\ue007", "\ue00c", "\ue014", "\ue013", " "


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "playground.html"
    path.write_text(playground(lab_defaults()), encoding="utf-8")
    browser.screen(1280, 1000)
    browser.file = path.as_uri()
    return browser


def load(page, state=""):
    page.open("about:blank")
    page.open(page.file + state)
    until(page, "engine.theta || !settings.length")


def until(page, condition, seconds=30):
    end = time.monotonic() + seconds
    while not page.script(f"return !!({condition})"):
        assert time.monotonic() < end, f"waited in vain for {condition}"
        time.sleep(0.05)


def test_a_limit_is_said_unknown_only_once_that_is_known(page):
    load(page)
    until(page, "engine.limits.length")
    said = page.script("""const seen = [text()];
        function text() { return document.querySelector('#stats').textContent }
        const known = engine.limits
        for (const limits of [[], [null]]) { engine.limits = limits; figures(); seen.push(text()) }
        engine.limits = known; figures()
        return seen""")
    assert "Bayes 98.75 %" in said[0] and "no known limit" not in said[1] and "no known limit" in said[2]


def test_a_half_is_rounded_on_the_page_as_on_the_terminal(page):
    load(page)
    for value, digits in (
        (98.625, 2),
        (98.635, 2),
        (0.5, 0),
        (1.5, 0),
        (2.5, 0),
        (0.125, 2),
        (-0.375, 2),
        (98.6249, 2),
    ):
        assert page.script("return fixed(...arguments)", value, digits) == f"{value:.{digits}f}", value


def text(page, selector):
    return page.script("return document.querySelector(arguments[0]).textContent", selector)


def test_the_page_is_one_small_file_without_a_network(page):
    html = playground(lab_defaults())
    assert len(html.encode()) < 120_000
    assert not re.search(r"(src|href)\s*=\s*[\"']|@import|url\(|https?:|fetch\(|XMLHttp|importScripts", html)
    load(page)
    asked = page.script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in asked if not name.startswith("blob:")] == []
    assert page.warnings() == []


def test_it_trains_pauses_steps_and_goes_back(page):
    load(page, "#model.width=8&speed=fast&trainer.max_epochs=300")
    page.click("#step")
    until(page, "engine.step === 1")
    page.click("#epoch")
    until(page, "engine.step === 25 && engine.epochs.at(-1) === 1")
    page.keys("body", SPACE)
    until(page, "engine.epoch >= 6")
    page.keys("body", SPACE)
    until(page, "playing === false")
    until(page, "engine.histories[0].length >= 6 && document.querySelector('#stats dd').textContent.includes('%')")
    page.script("$('when').focus(); $('when').value = 2; $('when').dispatchEvent(new Event('input'))")
    until(page, "engine.epoch === 2")
    at_two = page.script("return Array.from(engine.theta.slice(0, 5))")
    page.click("#reset")
    until(page, "engine.epoch === 0 && engine.step === 0")
    for _ in range(2):
        page.click("#epoch")
        time.sleep(0.3)
    until(page, "engine.epoch === 2")
    assert page.script("return Array.from(engine.theta.slice(0, 5))") == at_two, "the same seed, the same weights"
    assert page.warnings() == []


def test_the_address_is_the_experiment_and_the_command(page):
    state = "#data=moons&data.noise=0.3&optimizer=sgd&optimizer.momentum=0.9&model.hidden=[8,4]&model.activation=tanh&seed=3"
    load(page, state)
    command = text(page, "#command")
    assert shlex.split(command) == [
        "scripts/lab",
        "train",
        "data=moons",
        "data.noise=0.3",
        "model.hidden=[8,4]",
        "model.activation=tanh",
        "optimizer=sgd",
        "optimizer.momentum=0.9",
        "seed=3",
    ]
    compose("train", shlex.split(command)[2:])
    time.sleep(0.3)
    kept = page.address_now()
    load(page, kept[kept.index("#") :])
    assert text(page, "#command") == command and page.address_now() == kept
    page.script("const i = document.querySelector('[data-key=\"optimizer.lr\"]'); i.value = ''")
    page.keys('[data-key="optimizer.lr"]', "0.25" + ENTER)
    assert "optimizer.lr=0.25" in text(page, "#command")
    page.keys('[data-key="seed"]', UP)
    assert "seed=4" in text(page, "#command")
    page.script("const i = document.querySelector('[data-key=\"data.noise\"]'); i.value = ''")
    page.keys('[data-key="data.noise"]', "-1" + ENTER)
    assert (
        page.script("return document.querySelector('[data-key=\"data.noise\"]').getAttribute('aria-invalid')") == "true"
    )
    load(page, "#data=%3Cb%3E&model.width=x&seed=-1&x=nope:1,2&limit=1e9&optimizer.lr=0.5")
    assert text(page, "#command") == "scripts/lab train optimizer.lr=0.5" and "cannot be" in text(page, "#error")
    assert page.warnings() == []


def test_each_hidden_layer_may_have_its_own_activation(page):
    load(page, "#model.width=5&model.depth=2")
    choose = "const s = document.querySelector(`[data-key='${arguments[0]}']`); s.value = arguments[1]; s.onchange()"
    page.script(choose, "model.activation", "layer by layer")
    page.script(choose, "layer 2", "tanh")
    assert shlex.split(text(page, "#command"))[-1] == "model.activation=[relu,tanh]"
    compose("train", shlex.split(text(page, "#command"))[2:])
    until(page, "engine.theta")
    assert page.script("return lens.shape.activations.map(a => a.name)") == ["relu", "tanh"]
    page.script("const i = document.querySelector('[data-key=\"model.depth\"]'); i.value = '3'; i.onchange()")
    assert "model.activation=[relu,tanh,tanh]" in text(page, "#command")
    time.sleep(0.3)
    kept = page.address_now()
    load(page, kept[kept.index("#") :])
    assert page.script("return [...document.querySelectorAll('[data-key^=layer]')].map(s => s.value)") == [
        "relu",
        "tanh",
        "tanh",
    ]
    load(page, "#model.activation=[relu,tanh]&model.depth=1")
    assert "1 of them, not 2" in text(page, "#error")
    load(
        page,
        "#x=model.activation:[relu,tanh],[tanh,{name: leaky_relu, negative_slope: 0.2}]&model.depth=2&model.width=3",
    )
    assert page.script("return settings[1].model.activation[1].negative_slope") == 0.2 and not text(page, "#error")
    assert page.warnings() == []


def test_a_mosaic_is_chosen_opened_and_left(page):
    load(page)
    page.click("#nets button:nth-child(2)")
    until(page, "settings.length === 16 && engine.maps.filter(Boolean).length === 16")
    assert text(page, "#command") == "scripts/lab train -m model.width=4,16,32,64 seed=0,1,2,3"
    page.keys("#stage", RIGHT + RIGHT)
    assert page.script("return experiment.view.pick") == 2
    page.keys("#stage", ENTER)
    until(page, "isOne() && engine.theta && engine.theta.length === 2 * 32 + 32 + 32 * 4 + 4")
    page.keys("body", ESCAPE)
    assert page.script("return isOne()") is False
    until(page, "layout.cells.length === 16")
    cell = page.script(
        "const b = canvas.getBoundingClientRect(), c = layout.cells[5]; return [b.x + c.x + 9, b.y + c.y + 9]"
    )
    page.drag(tuple(cell))
    assert page.script("return [experiment.view.pick, isOne()]") == [5, True]
    time.sleep(0.3)
    assert "x=model.width:4,16,32,64&y=seed:0,1,2,3" in page.address_now() and "pick=5" in page.address_now()
    load(page, "#x=data.noise:0.1,0.5&y=optimizer.lr:0.001,0.01,1e9")
    assert "at most" not in text(page, "#error") and "cannot be" in text(page, "#error")
    assert page.warnings() == []


def test_points_of_ones_own_are_painted_and_pasted(page):
    load(page, "#data=own")
    assert "at least ten points" in text(page, "#error")
    box = page.box("#stage canvas")

    def at(u, v):
        return (box["x"] + u * box["width"], box["y"] + v * box["height"])

    page.drag(at(0.2, 0.2), at(0.3, 0.3), at(0.3, 0.4), at(0.25, 0.5), at(0.2, 0.5))
    assert page.script("return experiment.own.points.length") >= 12
    page.script("ownPoints.brush = 1")
    page.drag(at(0.7, 0.7), at(0.8, 0.7), at(0.8, 0.8), at(0.7, 0.8))
    until(page, "settings.length === 1 && engine.theta")
    assert page.script("return experiment.own.classes") == 2
    assert "data=file data.path=points.csv" in text(page, "#command")
    time.sleep(0.3)
    kept = page.address_now()
    count = page.script("return experiment.own.points.length")
    load(page, kept[kept.index("#") :])
    assert page.script("return experiment.own.points.length") == count
    rows = "x1,x2,label\\n" + "\\n".join(f"{k / 10},{k % 3},{k % 3}" for k in range(30))
    page.script(f"document.querySelector('textarea').value = '{rows}'")
    page.script("[...document.querySelectorAll('button')].find(b => b.textContent === 'Use these points').click()")
    until(page, "settings.length === 1 && engine.theta && settings[0].data.own.points.length === 30")
    assert page.script("return classesOf(settings[0].data)") == 3
    page.script("document.querySelector('textarea').value = '1,2,x'")
    page.script("[...document.querySelectorAll('button')].find(b => b.textContent === 'Use these points').click()")
    assert "x1,x2,label" in text(page, "#error")
    assert page.warnings() == []


def test_weights_go_out_and_come_in(page):
    load(page, "#model.hidden=[6,5]&model.activation=tanh&speed=fast")
    page.click("#epoch")
    until(page, "engine.epoch === 1")
    saved = page.script(
        """return new Promise(done => { const real = download; window.caught = null
        download = (name, text) => { done([name, text]) }; $('save').click(); download = real })"""
    )
    assert saved[0] == "weights.json"
    node = json.loads(saved[1])
    model = MLP(**node["model"], seed=0)
    model.load_state_dict({name: torch.tensor(value) for name, value in node["state_dict"].items()})
    theirs = torch.cat([p.flatten() for p in model.parameters()]).detach().numpy()
    np.testing.assert_array_equal(theirs, np.float32(page.script("return Array.from(engine.theta)")))
    load(page, "#model.width=3")
    page.script("takeWeights(arguments[0])", saved[1])
    until(page, "engine.theta && engine.theta.length === 77")
    np.testing.assert_array_equal(theirs, np.float32(page.script("return Array.from(engine.theta)")))
    page.script('takeWeights(\'{"state_dict": {"<b>": 1}}\')')
    assert "no network of the lab" in text(page, "#error")
    assert page.warnings() == []


@pytest.mark.parametrize("number", range(6))
def test_lessons_train_by_a_click(page, number):
    load(page)
    page.click(f"#lessons button:nth-child({number + 1})")
    until(page, "engine.step > 3")
    command = text(page, "#command")
    assert len(text(page, "#story")) > 40 and not text(page, "#error")
    for part in command.split():
        assert "undefined" not in part and "NaN" not in part
    for tab in (1, 2, 3):
        page.click(f"#tabs button:nth-child({tab})")
    time.sleep(0.4)
    assert page.warnings() == []


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_word_can_be_read_and_nothing_sticks_out(page, width, height, theme, tmp_path):
    page.screen(width, height)
    load(page, f"#theme={theme}&x=seed:0,1&y=model.width:4,8")
    assert page.script("return document.documentElement.scrollWidth") <= width
    (tmp_path / "screen.png").write_bytes(page.screenshot())  # to be looked at
    assert poor_words(page) == []
    page.screen(1280, 1000)


def test_the_stage_stays_in_sight_of_the_controls_on_a_telephone(page):
    page.screen(390, 844)
    load(page)
    page.script("document.querySelector('#groups').scrollIntoView()")
    page.script("return new Promise(done => setTimeout(done, 200))")
    box = page.box("#stage")
    assert 0 <= box["y"] < 200 and box["y"] + box["height"] < 700
    page.screen(1280, 1000)


def test_ten_seeds_agree_with_the_command(page, tmp_path, capsys):
    """Weights, points and minibatches are the command's own, so the results differ by rounding alone."""
    load(page, "#x=seed:0,1,2,3,4,5,6,7,8,9&model.width=16&optimizer.lr=0.01&trainer.max_epochs=6")
    command = shlex.split(text(page, "#command"))
    found = page.script(
        """const members = experiment.members(), data = parts(members[0].data), heap = new Heap(1e6), passes = sharedPasses(heap)
        return members.map(s => { const m = new Member(heap, s, data, passes)
          while (m.epoch < s.max_epochs) if (m.advance()) m.close()
          heap.f.set(m.best.theta, m.gradient)
          return m.measure(data.fresh, m.gradient).nll })"""
    )
    assert (
        main(
            [*command[1:], f"paths.logs={tmp_path}", "figures=none", "launcher=inline", "callbacks.decision_maps=null"]
        )
        == 0
    )
    capsys.readouterr()
    results = [json.loads(path.read_text()) for path in tmp_path.glob("sweep/*/*/result.json")]
    assert len(results) == 10
    theirs = [result["fresh"]["nll"] for result in sorted(results, key=lambda result: result["seed"])]
    np.testing.assert_allclose(found, theirs, atol=2e-3)
    # Both vary over seeds far more than they differ from each other.
    assert np.abs(np.subtract(found, theirs)).max() < 0.2 * np.std(theirs)


def test_a_runs_settings_are_the_pages_options():
    config = OmegaConf.to_container(
        compose(
            "train",
            ["data=circles", "data.classes=3", "model.hidden=[5,4]", "schedule=one_cycle", "optimizer=adamw", "seed=7"],
        )
    )
    options = options_of(config)
    assert options["data"] == "circles" and options["data.classes"] == 3 and options["schedule"] == "one_cycle"
    assert options["model.hidden"] == [5, 4] and options["optimizer"] == "adamw" and options["seed"] == 7
    assert "#data=circles&optimizer=adamw&data.classes=3" in address(options)
    config["data"] = {"_target_": "mlplab.data.file_module.FileDataModule", "seed": 1}
    assert options_of(config).keys().isdisjoint({"data", "data.noise", "data.seed"})


def test_the_command_writes_the_page_and_says_where(tmp_path, capsys):
    assert main(["playground", f"paths.logs={tmp_path}", "data=moons", "seed=4"]) == 0
    path = tmp_path / "playground.html"
    assert capsys.readouterr().out.strip() == str(path)
    assert '"data":"moons"' in path.read_text(encoding="utf-8")
    assert main(["playground", "data.noise=x"]) == 2
    assert main(["playground", str(tmp_path)]) == 2
    capsys.readouterr()
