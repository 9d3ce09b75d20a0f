"""What a job of a sweep says of itself, what is wrong with an entry of its record, and what makes two configs differ."""

import math
import sys
import tempfile
from pathlib import Path

import pytest

from mlplab.runs import sweep_record
from mlplab.runs.identity import name_for_digest, name_today, names_today
from mlplab.runs.manifest import write_status
from mlplab.runs.metrics import MAXIMIZE, OBJECTIVES, judged, read_objective, unequal
from mlplab.runs.sweep_folder import differing, outcome_of
from mlplab.runs.sweep_record import Job


def test_the_metric_that_a_sweeper_asks_for():
    finished = {"validation": {"nll": 0.5, "accuracy": True}, "parameters": 7, "steps": math.inf, "seconds": {"fit": 2}}
    assert judged(finished, "validation/nll") == 0.5 and judged(finished, "parameters") == 7.0
    assert type(judged(finished, "parameters")) is float and judged(finished, "seconds/fit") == 2.0
    for name in ("validation/accuracy", "steps", "test/nll", "epochs", "validation/nll_regret"):
        assert math.isnan(judged(finished, name)) and read_objective(finished, name) is None
    failed = finished | {"status": "failed"}
    assert judged(failed, ["validation/nll", "validation/accuracy", "parameters"]) == (math.inf, -math.inf, math.inf)
    assert judged(finished | {"status": "finished"}, ("parameters",)) == (7.0,)
    assert {OBJECTIVES[f"{part}/accuracy"] for part in ("validation", "test", "fresh", "train")} == {MAXIMIZE}


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([3, 1], False),
        ([4, 1], True),
        ([2, 1, 1], False),
        ([7, 4, 3], False),
        ([8, 4, 3], True),
        ([9], False),
        ([1, 1], False),
    ],
)
def test_classes_are_unequal_above_one_and_a_half_of_an_equal_share(members, told):
    confusion = [[count - 1, 1] for count in members]
    assert unequal(confusion) == told
    assert Job(Path("a"), {}, "d", result={"test": {"confusion": confusion}}).is_unequal == told


def test_what_a_job_says_of_itself():
    job = Job(
        Path("s/a"), {}, "d", "finished", None, {"parameters": 7.0, "test": {"nll": 1, "accuracy": True}, "seconds": 3}
    )
    assert (job.name, job.parameters, job.metric("test", "nll")) == ("a", 7, 1) and type(job.parameters) is int
    assert job.metric("test", "accuracy") is job.metric("fresh", "nll") is job.seconds("fit") is None
    assert job.is_finished and not job.is_unequal and job.outcome is job.result
    large = Job(
        Path("a"),
        {},
        "d",
        result={"test": {"nll": 10**400, "a": math.nan, "b": -sys.float_info.max}, "parameters": None},
    )
    assert large.metric("test", "nll") is large.metric("test", "a") is large.parameters is None
    assert large.metric("test", "b") == -sys.float_info.max and not large.is_finished
    gone = Job(Path("a"), {}, "d", "failed", "why")
    assert gone.outcome == {"status": "failed", "error": "why"} and gone.metric("a", "b") is None
    assert not Job(Path("a"), {}, "d", "finished").is_finished


ENTRY = {"name": "a", "swept": {"x": 1}, "config_digest": "d", "status": "finished"}


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (ENTRY, None),
        (ENTRY | {"overrides": None, "result": None}, None),
        (ENTRY | {"overrides": ["x=1"], "result": {}, "swept": {"a": None, "b": "c", "d": math.inf, "e": True}}, None),
        ([], "lacks all keys"),
        ({"name": "a"}, "lacks swept, config_digest, status"),
        (ENTRY | {"status": "gone"}, "lacks a known status"),
        (ENTRY | {"swept": []}, "lacks a known status"),
        (ENTRY | {"swept": {"x": [1]}}, "has no plain value of x"),
        (ENTRY | {"swept": {"x": 10**400}}, "has no plain value of x"),
        (ENTRY | {"name": 3}, "has the name 3"),
        (ENTRY | {"name": ""}, "has the name ''"),
        (ENTRY | {"name": ".."}, "has the name '..'"),
        (ENTRY | {"name": "a/b"}, "has the name 'a/b'"),
        (ENTRY | {"config_digest": 3}, "has overrides or a digest that are no texts"),
        (ENTRY | {"overrides": "x"}, "has overrides or a digest that are no texts"),
        (ENTRY | {"overrides": [1]}, "has overrides or a digest that are no texts"),
        (ENTRY | {"result": [1]}, "has a result that is none"),
    ],
)
def test_what_is_wrong_with_an_entry_of_a_sweep(entry, problem):
    assert sweep_record._problem(entry) == problem


@pytest.mark.parametrize(
    ("configs", "keys"),
    [
        ([], []),
        ([{"a": 1, "b": 2}], []),
        ([{"a": 1, "b": 2}, {"a": 1, "b": 3}], ["b"]),
        ([{"a": 1, "b": 2, "c": 5}, {"a": 2, "b": 3, "c": 5}], ["a", "b"]),
        ([{"a": 1, "b": 1}, {"a": 2, "b": 2}], ["a"]),  # the second always equals the first
        ([{"a": 1}, {"a": 1, "b": None}], []),
        ([{"a": 1}, {"a": True}], ["a"]),
    ],
)
def test_what_differs_between_configs(configs, keys):
    assert differing(configs) == keys


def test_classes_of_before_enter_a_digest_by_their_name_of_version_0_1():
    for today, before in {
        "mlplab.nn.mlp.MLP": "mlplab.core.mlp.MLP",
        "torch.optim.Adam": "mlplab.training.optimizers.Adam",
        "mlplab.nn.mlp.Dropout": "mlplab.nn.mlp.Dropout",  # moved later: version 0.1 had it elsewhere or not at all
        "mlplab.training.callbacks.Timing": "mlplab.training.callbacks.Timing",
        "own.Net": "own.Net",
    }.items():
        assert name_for_digest(today) == before
    assert (
        name_for_digest(3) == 3
        and name_today("mlplab.core.mlp.MLP") == "mlplab.nn.mlp.MLP"
        and name_today(None) is None
    )
    node = {"_target_": "mlplab.core.mlp.MLP", "other": "mlplab.core.mlp.MLP", "x": [{"_target_": "a"}, 1]}
    assert names_today(node) == node | {"_target_": "mlplab.nn.mlp.MLP"}


def test_how_a_run_ended_is_read_from_its_folder(tmp_path):
    def ended(status=None, result=None, **more):
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        if status is not None:
            write_status(folder, status, **more)
        if result is not None:
            (folder / "result.json").write_text(result)
        return outcome_of(folder)

    assert ended() == ("missing", None, None)
    assert ended("failed", error="why") == ("failed", "why", None)
    assert ended("interrupted") == ("interrupted", None, None)
    assert ended("running") == ("running", None, None)  # of this very process
    assert ended("finished") == ("failed", "it has no result.json", None)
    assert ended("running", '{"steps": 3}') == ("finished", None, {"steps": 3})
    assert ended("running", '{"status": "diverged"}') == ("diverged", None, {"status": "diverged"})
    assert ended("failed", "[]", error="why") == ("failed", "why", None)
    status, error, result = ended("finished", "{")
    assert status == "failed" and "is not JSON" in error and result is None
    gone = tmp_path / "gone"
    gone.mkdir()
    (gone / "status.json").write_text('{"status": "running"}')
    assert outcome_of(gone) == ("interrupted", None, None)
    (gone / "status.json").write_text("{}")
    assert outcome_of(gone)[0] == "failed" and "status.json is damaged" in outcome_of(gone)[1]
