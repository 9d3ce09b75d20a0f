"""The words of a search space, objectives and samplers by name."""

import math

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from searching import dimension

from mlplab.config.schema import STUDY
from mlplab.config.sweep_values import check_sweep
from mlplab.errors import InputError
from mlplab.runs.metrics import OBJECTIVES, read_objective
from mlplab.search.space import read_space

optuna = pytest.importorskip("optuna", reason="the search needs Optuna: pip install 'mlplab[search]'")

from mlplab.search import samplers  # noqa: E402 (it imports Optuna, which may be missing)

# What Hydra's words mean.


@pytest.mark.parametrize(
    ("text", "default", "values"),
    [
        ("a=range(1,5)", None, [1, 2, 3, 4]),
        ("a=range(16,65,16)", None, [16, 32, 48, 64]),
        ("a=range(5,1,-2)", None, [3, 5]),
        ("a=range(3)", None, [0, 1, 2]),
        ("a=range(0,1,0.25)", None, [0.0, 0.25, 0.5, 0.75]),
        ("a=range(0,0.5,0.1)", None, [0.0, 0.1, 0.2, 0.3, 0.4]),
        ("a=float(range(1,3))", None, [1.0, 2.0]),
        ("a=int(interval(1,5))", None, [1, 2, 3, 4]),
        ("a=interval(1,5)", 128, [1, 2, 3, 4]),
        ("a=tag(log, range(1,5))", None, [1, 2, 3, 4]),
        ("a=choice(16)", None, ["16"]),
        ("a=[16,8],[4]", None, ["[16,8]", "[4]"]),
        ("optimizer=adam,sgd,adam", None, ["adam", "sgd"]),
        ("a=null,true,'x y',1e-3", None, ["null", "True", "'x y'", "0.001"]),
        ("optimizer=glob(*)", None, ["adam", "sgd"]),
    ],
)
def test_a_dimension_holds_the_values_that_hydra_would_run(text, default, values):
    found = dimension(text, default, lambda group: ["adam", "sgd"])
    assert found.count == len(values) and [found.value(index) for index in range(found.count)] == values
    assert [type(found.value(i)) for i in range(len(values))] == [type(value) for value in values]
    entry = OverridesParser.create().parse_override(text)
    if entry.is_range_sweep():
        assert sorted(entry.sweep_iterator()) == values
    # What is written reads back as itself.
    for index, value in enumerate(values):
        again = OverridesParser.create().parse_override(found.override(found.value(index)))
        assert value == again.get_value_element_as_str() if isinstance(value, str) else value == again.value()


def test_an_interval_takes_its_low_end_and_not_its_high_one():
    real = dimension("a=interval(0,1)", 0.5)
    assert (real.kind, real.low, real.count) == ("real", 0.0, None)
    assert 0.999999 < real.high < 1 and dimension("a=interval(0,1)", True).kind == "real"
    assert real.ends() == ["a=0.0", f"a={real.high!r}"]
    assert dimension("a=tag(log, interval(1e-4, 1e-1))").log
    assert dimension("a=interval(0.5,5)", 3).kind == "real"  # and its ends are refused by the key's own rule


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a=interval(5,1)", "LOW < HIGH"),
        ("a=interval(1,1)", "LOW < HIGH"),
        ("a=interval(1e-4,nan)", "finite"),
        ("a=range(5,1)", "no value"),
        ("a=range(1,5,0)", "step other than 0"),
        ("a=tag(log, interval(0,1))", "above 0"),
        ("a=tag(log, range(1,9,2))", "step 1"),
        ("a=tag(log, choice(1,2))", "tag is log"),
        ("a=tag(lgo, interval(1,2))", "tag is log"),
        ("a=glob(x*)", "at least one option"),
    ],
)
def test_what_holds_no_value_is_refused_in_one_line(text, part):
    with pytest.raises(InputError) as caught:
        dimension(text, None, lambda group: ["adam"])
    assert part in str(caught.value) and text in str(caught.value) and "\n" not in str(caught.value)


def test_a_space_is_what_is_searched_and_what_the_jobs_need_besides():
    base = OmegaConf.create({"model": {"width": 128}, "seed": 0})
    words = ["model.width=interval(1,9)", "data.noise=0.1", "search.trials=3", "sweep=x", "launcher=inline", "seed=1,2"]
    space, fixed = read_space(words, base, lambda group: [])
    assert [(one.key, one.kind) for one in space] == [("model.width", "whole"), ("seed", "choice")]
    assert fixed == ["data.noise=0.1"]
    for wrong, part in [
        (["a=1"], "needs a key to search"),
        (["a=1,2", "a=3,4"], "given once"),
        (["a=1,2", "a=3"], "given once"),
    ]:
        with pytest.raises(InputError, match=part):
            read_space(wrong, base, lambda group: [])


def test_each_end_is_looked_at_before_anything_runs():
    check_sweep("train", ["hydra/sweeper=search", "optimizer.lr=interval(1e-4,1e-1)", "model.width=interval(4,9)"])
    for wrong, part in [
        ("optimizer.lr=interval(-1,1)", "optimizer.lr must be a number > 0 and <= 1e+30, got -1.0"),
        ("model.dropout=interval(0,1.5)", "model.dropout must be"),
        ("model.width=interval(0.5,9)", "model.width must be an integer >= 1, got 0.5"),
        ("model.depth=range(-1,3)", "model.depth must be an integer from 0 to 10000, got -1"),
        ("model.width=choice(16,abc)", "model.width must be an integer >= 1, got 'abc'"),
        ("optimizer=choice(adam,adma)", "optimizer must be one of"),
        ("model.widht=interval(1,2)", "did you mean model.width?"),
    ]:
        with pytest.raises(InputError) as caught:
            check_sweep("train", ["hydra/sweeper=search", wrong])
        assert part in str(caught.value)
    with pytest.raises(InputError, match="needs hydra/sweeper=search"):
        check_sweep("train", ["optimizer.lr=interval(1e-4,1e-1)"])


def test_objectives_are_read_by_name_and_their_direction_is_known():
    result = {"validation": {"nll": 0.5, "accuracy": math.nan}, "test": None, "parameters": 7, "seconds": {"fit": 2}}
    assert read_objective(result, "validation/nll") == 0.5 and read_objective(result, "parameters") == 7
    assert read_objective(result, "seconds/fit") == 2
    for missing in ("validation/accuracy", "test/nll", "fresh/nll", "epochs"):
        assert read_objective(result, missing) is None
    assert OBJECTIVES["test/accuracy"] == "maximize" and OBJECTIVES["fresh/nll_regret"] == "minimize"


def test_the_names_of_the_schema_are_those_that_there_are():
    assert set(STUDY["search"]["sampler"].names) == set(samplers.SAMPLERS)
    for name in OBJECTIVES:
        STUDY["search"]["objective"].check("search.objective", name)
    STUDY["search"]["objective"].check("search.objective", ["validation/nll", "parameters"])
