"""Numbers with units, read and said."""

import pytest

from mlplab.rules import number, parse, quantity
from mlplab.studies.lif.units import in_lab_units, say


@pytest.mark.parametrize(
    ("text", "suffix", "value"),
    [
        ("10MOhm", "kohm", 1e4),
        ("0.8nF", "uf", 0.8e-3),
        ("250 pF", "uf", 250e-6),
        ("-50mV", "v", -0.05),
        ("0.2nA", "ma", 0.2e-6),
        ("5us", "ms", 5e-3),
        ("5µs", "ms", 5e-3),
        ("2kHz", "hz", 2000.0),
        ("1.5e-3 V", "v", 1.5e-3),
        ("10Ω", "kohm", 0.01),
        ("+1A", "ma", 1000.0),
        (".5s", "ms", 500.0),
    ],
)
def test_a_text_is_the_nearest_number(text, suffix, value):
    assert parse(text, suffix) == value


@pytest.mark.parametrize("text", ["10mA", "10", "1e3", "MOhm", "1,5kOhm", "10 MOhms", "ten kOhm", "-", ""])
def test_other_text_is_none(text):
    assert parse(text, "kohm") is None


def test_a_rule_takes_both_and_keeps_its_range():
    rule = quantity(number(0, above=True), "kohm")
    assert rule.accepts(3) and rule.accepts("3MOhm")
    assert not any(rule.accepts(value) for value in (0, "0MOhm", "-3kOhm", "3mV", "3", True, None))


def test_a_config_becomes_numbers():
    config = {"neuron": {"reset_v": "-70mV", "name_v": "abc"}, "input": {"current_ma": ["1uA", 2]}, "method": "10mV"}
    assert in_lab_units(config) == {
        "neuron": {"reset_v": -0.07, "name_v": "abc"},
        "input": {"current_ma": [1e-3, 2]},
        "method": "10mV",
    }


@pytest.mark.parametrize(
    ("value", "suffix", "words"),
    [
        (1.0, "kohm", "1 kΩ"),
        (4e4, "kohm", "40 MΩ"),
        (2.5e-4, "uf", "250 pF"),
        (0.015, "v", "15 mV"),
        (5e-7, "ma", "500 pA"),
        (1000, "ms", "1 s"),
        (0.05, "ms", "0.05 ms"),
        (0, "ma", "0 mA"),
        (float("inf"), "kohm", "∞ kΩ"),
        (-2e-6, "ma", "-2 nA"),
    ],
)
def test_a_number_is_said_in_a_fitting_unit(value, suffix, words):
    assert say(value, suffix) == words
