"""The explorer page in a real browser: its numbers are Python's, and everything on it can be driven."""

import math
import re

import numpy as np
import pytest

from mlplab.errors import InputError
from mlplab.pages.lif_explorer import lif_explorer
from mlplab.studies.lif.grid import spike_count
from mlplab.studies.lif.neuron import Neuron, ceiling_hz, rate_hz, relu_rate_hz, threshold_current_ma
from mlplab.studies.lif.noise_rate import interval_variation, white_noise_rate_hz
from mlplab.studies.lif.scale import scale_of
from mlplab.studies.lif.transfer_figures import relu_distance_hz

EXPLORER = Neuron(tau_ref_ms=1.0)
ORDER = ("resistance_kohm", "tau_ref_ms", "capacitance_uf", "rest_v", "threshold_v", "reset_v")
ARROW_RIGHT, PAGE_DOWN, END, HOME = "\ue014", "\ue00f", "\ue010", "\ue011"


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "lif_explorer.html"
    path.write_text(lif_explorer(), encoding="utf-8")
    browser.screen(1240, 1100)
    browser.file = path.as_uri()
    return browser


def load(page, state=""):
    page.open("about:blank")
    page.open(page.file + state)


def number(page, name):
    return float(page.script(f"return document.getElementById('{name}').dataset.value"))


def text(page, selector):
    return page.script("return document.querySelector(arguments[0]).textContent", selector)


def state(page, key):
    """Read one value of the page's state as text, infinity as 'Infinity'."""
    return page.script(f"return String(s.{key})")


def middle(box):
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_the_page_is_one_small_file_without_a_network():
    html = lif_explorer()
    assert len(html.encode()) < 60_000
    assert not re.search(r"(src|href)\s*=|@import|url\((?!#)|https?:|fetch\(|XMLHttp", html)
    assert ">{}</script>" not in html  # it was told where to start


def test_the_page_starts_where_it_is_told(page, tmp_path):
    path = tmp_path / "other.html"
    path.write_text(lif_explorer(resistance_kohm=math.inf, tau_ref_ms=0.0, current_ma=0.7), encoding="utf-8")
    page.open(path.as_uri())
    told = {"R": "Infinity", "tau": "0", "C": "10", "E": "0", "Vth": "1", "Vr": "0", "I": "0.7", "N": "0"}
    assert {key: state(page, key) for key in told} == told


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("resistance_kohm", 0.0, "a possible resistance_kohm, got 0.0"),
        ("tau_ref_ms", -1.0, "a possible tau_ref_ms"),
        ("capacitance_uf", 0.0, "a possible capacitance_uf"),
        ("capacitance_uf", math.inf, "a possible capacitance_uf"),
        ("intensity_ma_sqrt_ms", -1.0, "a possible intensity_ma_sqrt_ms"),
        ("current_ma", float("nan"), "a possible current_ma"),
        ("reset_v", 1.0, "threshold_v above reset_v"),
    ],
)
def test_a_start_that_the_page_cannot_show_is_refused(key, value, shown):
    with pytest.raises(InputError, match=shown):
        lif_explorer(**{key: value})


def test_a_thousand_settings_show_pythons_numbers(page):
    rng = np.random.default_rng(12)
    count = 1000
    # Slider-like values and arbitrary ones, the limits among them.
    nice = rng.random(count) < 0.5
    r = np.where(nice, np.round(rng.uniform(1, 100, count), 1), np.exp(rng.uniform(np.log(0.5), np.log(1e5), count)))
    r = np.where(rng.random(count) < 0.15, np.inf, r)
    tau = np.where(nice, np.round(rng.uniform(0, 20, count), 1), rng.uniform(0, 100, count))
    tau = np.where(rng.random(count) < 0.15, 0.0, tau)
    c = np.where(nice, np.round(rng.uniform(1, 100, count)), rng.uniform(1, 100, count))
    current = np.where(nice, np.round(rng.uniform(-0.5, 2, count), 2), rng.uniform(-0.5, 2, count))
    dt = rng.choice([1.0, 0.5, 0.1], count)
    settings = [
        f"#R={float(ri)}&tau={float(ti)}&C={float(ci)}&I={float(ii)}&dt={di:g}"
        for ri, ti, ci, ii, di in zip(r, tau, c, current, dt, strict=True)
    ]
    load(page)
    names = ["rate", "relu", "threshold", "ceiling", "count", "rc", "distance"]
    found = page.script(
        """const [settings, names] = arguments
        return settings.map((text, k) => { read(text); if (k % 10) numbers(); else update()
          return {values: names.map(n => $(n).dataset.value), shown: $('rate').textContent,
                  counts: scale.ten.map(I => count(s, I, steps(), s.dt))} })""",
        settings,
        names,
    )
    neuron = Neuron(resistance_kohm=r, tau_ref_ms=tau, capacitance_uf=c)
    values = np.array([[float(v) for v in row["values"]] for row in found])
    rates = rate_hz(neuron, current)
    expected = {
        "rate": rates,
        "relu": relu_rate_hz(neuron, current),
        "threshold": threshold_current_ma(neuron),
        "ceiling": ceiling_hz(neuron),
        "rc": r * c,
    }
    distances = relu_distance_hz(neuron, 2.0)
    np.testing.assert_allclose(values[:, names.index("distance")], distances, rtol=1e-12, atol=1e-9)
    for name, truth in expected.items():
        np.testing.assert_allclose(values[:, names.index(name)], truth, rtol=1e-12, err_msg=name)
    ten = np.arange(10) * 2 / 9
    for k in range(count):
        one = Neuron(resistance_kohm=r[k], tau_ref_ms=tau[k], capacitance_uf=c[k])
        steps = round(1000 / dt[k])
        assert values[k, names.index("count")] == spike_count(one, current[k], steps=steps, dt_ms=dt[k]), settings[k]
        assert found[k]["counts"] == spike_count(one, ten, steps=steps, dt_ms=dt[k]).tolist(), settings[k]
        number, unit = found[k]["shown"].split()
        shown = float(number) * {"mHz": 1e-3, "Hz": 1.0, "kHz": 1e3}.get(unit, math.nan)
        assert shown == pytest.approx(float(f"{rates[k]:.4g}"), rel=2e-4, abs=1e-9)
    assert (rates > 0).sum() > 400 and (rates == 0).sum() > 100
    assert page.warnings() == []


def random_neuron(rng):
    volts = 10.0 ** rng.uniform(-4, 2)
    reset = rng.choice([0.0, 1.0]) * rng.normal() * volts
    return {
        "resistance_kohm": math.inf if rng.random() < 0.1 else 10.0 ** rng.uniform(-4, 7),
        "capacitance_uf": 10.0 ** rng.uniform(-6, 4),
        "tau_ref_ms": 0.0 if rng.random() < 0.3 else 10.0 ** rng.uniform(-3, 3),
        "rest_v": reset + volts * rng.uniform(-1.5, 1.2),
        "threshold_v": reset + volts,
        "reset_v": reset,
    }


def test_neurons_of_any_scale_show_pythons_numbers(page):
    rng = np.random.default_rng(7)
    load(page)
    for _ in range(120):
        values = random_neuron(rng)
        neuron = Neuron(**values)
        scale, current = scale_of(neuron), scale_of(neuron).at(rng.uniform(0, 2))
        text = ",".join(repr(float(v)) for v in (values[name] for name in ORDER))
        found = page.script(
            """read('#base=' + arguments[0] + '&I=' + arguments[1]); update()
            const value = id => $(id).dataset.value
            return {scale, rate: value('rate'), count: value('count'), threshold: value('threshold'), rc: value('rc'),
                    distance: value('distance'), ten: scale.ten.map(I => count(s, I, steps(), s.dt)),
                    broken: /NaN|undefined/.test(document.body.innerText + $('plot').innerHTML + $('trace').innerHTML)}""",
            text,
            repr(float(current)),
        )
        assert not found["broken"], values
        names = {"time": "time_ms", "current": "current_ma", "from": "from_ma", "kohm": "kohm", "dt": "count_dt_ms"}
        for theirs, ours in names.items():
            assert found["scale"][theirs] == pytest.approx(getattr(scale, ours), rel=1e-12)
        np.testing.assert_allclose([found["scale"]["low"], found["scale"]["high"]], scale.axis_ma, rtol=1e-12)
        np.testing.assert_allclose(found["scale"]["ten"], scale.count_ma, rtol=1e-12, atol=1e-14 * scale.current_ma)
        assert float(found["rate"]) == pytest.approx(float(rate_hz(neuron, current)), rel=1e-9)
        assert float(found["threshold"]) == pytest.approx(scale.threshold_ma, rel=1e-12)
        assert float(found["distance"]) == pytest.approx(float(relu_distance_hz(neuron)), rel=1e-9, abs=1e-9)
        known = spike_count(neuron, np.array(found["scale"]["ten"]), steps=1000, dt_ms=scale.count_dt_ms)
        assert found["ten"] == known.tolist()
    assert page.warnings() == []


def test_the_rate_under_noise_is_pythons(page):
    rng = np.random.default_rng(8)
    cases = []
    for _ in range(60):
        values = random_neuron(rng)
        neuron, scale = Neuron(**values), scale_of(Neuron(**values))
        noise = scale.current_ma * np.sqrt(scale.time_ms) * 10.0 ** rng.uniform(-1.5, 0.7)
        current = scale.at(rng.uniform(-1, 3))
        cases.append((neuron, [float(values[name]) for name in ORDER], float(current), float(noise)))
    load(page)
    found = page.script(
        """return arguments[0].map(([v, I, N]) => {
          const p = Object.fromEntries(NEURON.map((k, j) => [k, +v[j]])); p.N = N
          return [noisy(p, I), variation(p, I)] })""",
        [[[repr(v).replace("inf", "Infinity") for v in values], current, noise] for _, values, current, noise in cases],
    )
    for (neuron, _, current, noise), (rate, variation) in zip(cases, found, strict=True):
        assert rate == pytest.approx(float(white_noise_rate_hz(neuron, current, noise)), rel=1e-9)
        if rate > 1e-200:
            assert variation == pytest.approx(float(interval_variation(neuron, current, noise)), rel=1e-8)
    load(page, "#N=1.3")
    assert number(page, "noisy") == pytest.approx(float(white_noise_rate_hz(EXPLORER, 1.5, 1.3)), rel=1e-10)
    assert number(page, "cv") == pytest.approx(float(interval_variation(EXPLORER, 1.5, 1.3)), rel=1e-8)
    assert page.script("return !!document.getElementById('noisyCurve')")


def test_presets_say_which_setting_they_are(page):
    load(page)
    assert "The tutorial's explorer setting." in text(page, "#says")
    page.click("[data-preset=trace]")
    assert "The tutorial's membrane trace." in text(page, "#says") and state(page, "tau") == "10"
    page.click("[data-preset=cortical]")
    assert "A cell of the cortex." in text(page, "#says") and "375 pA" in text(page, "#threshold")
    page.keys("#It", "\ue009a\ue000" + "0.5nA")
    assert float(state(page, "I")) == 5e-7
    page.script("return new Promise(done => setTimeout(done, 150))")
    kept = page.address_now()
    page.open("about:blank")
    page.open(kept)
    assert float(state(page, "I")) == 5e-7 and "375 pA" in text(page, "#threshold")
    page.keys("body", "3")
    assert state(page, "R") == "Infinity" and state(page, "tau") == "20"
    page.keys("body", "1")
    assert state(page, "R") == "1" and number(page, "threshold") == 1.0


def test_potentials_can_be_typed(page):
    load(page)
    page.script("document.getElementById('volts').open = true")
    page.keys("#Vtht", "\ue009a\ue000" + "500mV")
    assert state(page, "Vth") == "0.5" and number(page, "threshold") == 0.5
    page.keys("#Vrt", "\ue009a\ue000" + "0.7")
    assert page.script("return $('Vrt').getAttribute('aria-invalid')") == "true" and state(page, "Vr") == "0"


def test_the_sliders_stay_beside_the_charts_on_a_small_screen(page, tmp_path):
    frame = tmp_path / "frame.html"
    frame.write_text(f'<iframe src="{page.file}" style="width:390px;height:844px;border:0"></iframe>')
    page.open(frame.as_uri())
    page.script("return new Promise(done => setTimeout(done, 300))")
    page._ask("POST", "/frame", {"id": 0})
    assert page.script("return innerWidth") == 390
    assert page.script("return document.documentElement.scrollWidth") <= 390
    plot, knobs = page.box("#plot"), page.box("#knobs")
    assert plot["y"] >= 0 and plot["y"] + plot["height"] <= knobs["y"], "the whole chart is above the sliders"
    for name in ("R", "tau", "C", "I", "N"):
        box = page.box("#" + name)
        assert box["width"] > 120 and box["x"] >= 0 and box["x"] + box["width"] <= 390
        assert box["y"] + box["height"] <= 844
    page.script("scrollTo(0, 400)")
    assert page.box("#knobs")["y"] == knobs["y"]
    page.keys("#R", ARROW_RIGHT)
    assert state(page, "R") == "1.1"
    page._ask("POST", "/frame", {"id": None})


def test_the_tutorials_counts_are_drawn(page):
    load(page)
    counts = page.script("return [...document.querySelectorAll('.count')].map(e => +e.dataset.count)")
    assert counts == [0, 0, 0, 0, 0, 43, 66, 91, 111, 125]
    page.click("#euler")
    assert page.script("return document.querySelectorAll('.count').length") == 0


def test_a_slider_is_dragged_to_both_ends(page):
    load(page)
    for name, key, low, high in (("R", "R", 0.5, math.inf), ("tau", "tau", 0.0, 100.0), ("I", "I", -0.5, 2.0)):
        box = page.box("#" + name)
        x, y = middle(box)
        page.drag((x, y), (box["x"] + box["width"] + 40, y))
        assert float(state(page, key).replace("Infinity", "inf")) == high
        page.drag((box["x"] + box["width"] - 8, y), (x, y))
        assert low < float(state(page, key)) < high
        page.drag((x, y), (box["x"] - 30, y))
        assert float(state(page, key)) == low


def test_a_slider_follows_the_keys(page):
    load(page)
    page.keys("#R", ARROW_RIGHT)
    assert state(page, "R") == "1.1"
    page.keys("#R", END)
    page.keys("#tau", HOME)
    assert state(page, "R") == "Infinity" and state(page, "tau") == "0"
    assert "a ReLU, exactly" in text(page, "#says")
    assert number(page, "rate") == number(page, "relu") == pytest.approx(150.0, rel=1e-12)
    assert number(page, "distance") < 1e-9


def test_the_dot_is_dragged_along_the_current(page):
    load(page, "#R=10&tau=2&C=10&I=1")
    dot, plot = page.box("#dot"), page.box("#plot")
    start = middle(dot)
    page.drag(start, (start[0] - 40, start[1] + 3), (start[0] - 120, start[1] - 30))
    moved = middle(page.box("#dot"))
    assert moved[0] == pytest.approx(start[0] - 120, abs=3)
    current = float(state(page, "I"))
    assert 0.3 < current < 0.8
    assert number(page, "rate") == pytest.approx(float(rate_hz(Neuron(resistance_kohm=10.0, tau_ref_ms=2.0), current)))
    page.drag(middle(page.box("#dot")), (plot["x"] + plot["width"] - 1, moved[1]))
    assert state(page, "I") == "2"
    page.keys("#dot", PAGE_DOWN)
    assert state(page, "I") == "1.9"
    page.keys("#dot", ARROW_RIGHT * 3)
    assert state(page, "I") == "1.93"


def test_values_can_be_typed(page):
    load(page)
    page.script("for (const k of ['R', 'tau']) { $(k + 't').value = '' }")
    page.keys("#Rt", "inf")
    assert state(page, "R") == "Infinity"
    page.keys("#taut", "-3")
    assert page.script("return $('taut').getAttribute('aria-invalid')") == "true"
    assert state(page, "tau") == "1", "a value that is not allowed changes nothing"


def test_curves_are_pinned_and_kept_in_the_address(page):
    load(page, "#R=2&tau=3&C=20&I=0.5")
    page.keys("body", "p")
    page.keys("body", "2")
    page.click("#pin")
    assert page.script("return document.querySelectorAll('#pins button').length") == 2
    assert "R 2 kΩ, τ 3 ms, C 20 µF" in text(page, "#pins")
    page.script("$('R').focus()")
    page.keys("#I", ARROW_RIGHT)
    page.script("return new Promise(done => setTimeout(done, 150))")
    kept = page.address_now()
    assert "pins=2,3,20;1,0,10" in kept
    page.open("about:blank")
    page.open(kept)
    assert page.script("return JSON.stringify(s.pins)") == '[{"R":2,"tau":3,"C":20},{"R":1,"tau":0,"C":10}]'
    assert state(page, "I") == "0.51" and state(page, "tau") == "0"
    page.click("#pins button")
    assert page.script("return document.querySelectorAll('#pins button').length") == 1
    page.keys("body", "x")
    assert page.script("return document.querySelectorAll('#pins button').length") == 0


def test_a_broken_address_is_no_harm(page):
    load(page, "#R=abc&tau=-5&C=1e9&I=nan&dt=7&theme=%3Cb%3E&pins=x,y;1;")
    assert [state(page, key) for key in ("R", "tau", "C", "I", "dt")] == ["1", "0", "100", "1.5", "1"]
    assert number(page, "rate") >= 0 and page.warnings() == []


def test_dark_mode_and_its_switch(page):
    load(page, "#theme=dark")
    background = "return getComputedStyle(document.body).backgroundColor"
    dark = page.script(background)
    page.click("#theme")
    assert page.script(background) != dark
    assert sum(map(int, re.findall(r"\d+", dark)[:3])) < 120


def test_the_curve_morphs_into_a_relu(page):
    load(page)
    page.click("#play")
    page.script("return new Promise(done => setTimeout(done, 2400))")
    assert state(page, "R") == "Infinity" and state(page, "tau") == "0"


def test_no_label_lies_on_a_curve(page):
    """Words stand outside the axes: each box is clear of the area in which curves are drawn."""
    for setting in ("", "#R=10&tau=5&C=10", "#R=inf&tau=0", "#R=0.5&tau=100&C=100", "#R=3&tau=20&zoom=1"):
        load(page, setting)
        inside = page.script(
            """const {l, r, W} = frame, plot = $('plot').getBoundingClientRect(), top = 26
            return [...document.querySelectorAll('#plot text')].filter(t => { const b = t.getBBox()
              return b.x + b.width > l && b.x < W - r && b.y + b.height > top && b.y < y0() })
              .map(t => t.textContent)
            function y0() { return +document.querySelector('#plot line.axis').getAttribute('y1') }"""
        )
        assert inside == []


def test_one_redraw_is_under_a_frame(page):
    load(page)
    times = page.script(
        """return [...Array(60).keys()].map(k => { set({R: 1 + k / 3, I: 1 + k / 100})
          return +document.documentElement.dataset.redrawMs })"""
    )
    # The quickest is what the redraw itself takes; the others waited for a busy machine as well.
    assert min(times) < 16.0
