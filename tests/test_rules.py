import math

import numpy as np
import pytest
from wrong_values import wrong_values

from mlplab.errors import InputError
from mlplab.rules import boolean, check_all, choice, either, integer, many, number, optional, shown

RULES = [
    integer(0, 10),
    number(0, 1, below=True),
    boolean(),
    choice("a", "b"),
    optional(integer(1)),
    many(number(0)),
    either(choice(math.inf), number(0)),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.allowed)
def test_wrong_values_are_refused_in_one_line_with_key_range_and_value(rule):
    for value in wrong_values(rule):
        with pytest.raises(InputError) as caught:
            rule.check("group.key", value)
        line = str(caught.value)
        assert line.startswith(f"group.key must be {rule.allowed}, got {shown(value)}") and "\n" not in line


@pytest.mark.parametrize("value", [0, 5, np.int64(3), 10])
def test_integers_in_range_come_back_as_int(value):
    assert integer(0, 10).check("key", value) == value
    assert type(integer(0).check("key", value)) is int


@pytest.mark.parametrize("value", [0, 0.25, np.float32(0.5)])
def test_numbers_in_range_come_back_as_float(value):
    assert number(0, 1).check("key", value) == value
    assert type(number().check("key", value)) is float


def test_the_words_name_only_the_limits_that_there_are():
    allowed = [number().allowed, number(high=3).allowed, number(0, 1, below=True).allowed, integer(1, 5).allowed]
    assert allowed == ["a number", "a number <= 3", "a number >= 0 and < 1", "an integer from 1 to 5"]


def test_lists_may_be_tuples_but_no_texts():
    assert many(integer()).check("key", (1, 2)) == (1, 2)
    with pytest.raises(InputError, match="^key must be a list, each entry an integer, got 'ab'$"):
        many(integer()).check("key", "ab")


def test_several_values_are_checked_by_the_rules_of_their_names():
    rules = {"width": integer(1), "name": choice("relu", "tanh")}
    check_all(rules, "model", width=3, name="relu")
    with pytest.raises(InputError, match="^model.name must be one of relu, tanh, got 'rleu'; did you mean relu[?]$"):
        check_all(rules, "model", width=3, name="rleu")
