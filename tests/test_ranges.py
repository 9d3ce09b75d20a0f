import math

import numpy as np
import pytest

from mlplab.errors import InputError
from mlplab.ranges import require_flag, require_integer, require_number


@pytest.mark.parametrize("value", [0, 5, np.int64(3), 10])
def test_integers_in_range_come_back_as_int(value):
    assert require_integer("data.arms", value, 0, 10) == value
    assert type(require_integer("data.arms", value, 0)) is int


@pytest.mark.parametrize("value", [-1, 11, 1.0, "3", None, True, math.nan])
def test_other_integers_are_refused_with_key_range_and_value(value):
    with pytest.raises(InputError) as caught:
        require_integer("data.arms", value, 0, 10)
    assert str(caught.value) == f"data.arms must be an integer from 0 to 10, got {value!r}"


@pytest.mark.parametrize("value", [0, 0.25, np.float32(0.5)])
def test_numbers_in_range_come_back_as_float(value):
    assert require_number("data.noise", value, 0, below=1) == value
    assert type(require_number("data.noise", value)) is float


@pytest.mark.parametrize("value", [-0.1, 1, math.nan, math.inf, "0.5", None, False])
def test_other_numbers_are_refused_with_key_range_and_value(value):
    with pytest.raises(InputError) as caught:
        require_number("data.noise", value, 0, below=1)
    assert str(caught.value) == f"data.noise must be a number >= 0 and < 1, got {value!r}"


def test_the_message_names_only_the_limits_that_there_are():
    with pytest.raises(InputError, match="^data.t_max must be a number <= 3, got 4$"):
        require_number("data.t_max", 4, high=3)
    with pytest.raises(InputError, match="^data.t_max must be a finite number, got nan$"):
        require_number("data.t_max", math.nan)


def test_flags():
    assert require_flag("data.drop_last", False) is False
    with pytest.raises(InputError, match="data.drop_last must be true or false, got 'no'"):
        require_flag("data.drop_last", "no")
