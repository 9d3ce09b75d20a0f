"""Search: the trials and their journal under kills, the whole from the command line."""

import json
import math
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from hydra.core.utils import JobReturn, JobStatus
from searching import dimension

from mlplab.cli import app
from mlplab.errors import InputError

optuna = pytest.importorskip("optuna", reason="the search needs Optuna: pip install 'mlplab[search]'")

from mlplab.search import record as search_record  # noqa: E402 (it imports Optuna, which may be missing)
from mlplab.search import samplers, search, trials  # noqa: E402 (it imports Optuna, which may be missing)

# Trials, with a function in the place of training.

SPACE = ["a=range(1,9)", "b=tag(log, interval(1e-4, 1e-1))", "c=x,y"]


def plan(sampler="tpe", total=24, batch=6, space=SPACE, objectives=("validation/nll",), **other):
    dimensions = [dimension(text) for text in space]
    values = {"fixed": ["d=1"], "config_digest": "0" * 64, "code_digest": "1" * 64, "first_batch": 6} | other
    return trials.Plan(
        space=dimensions, objectives=list(objectives), sampler=sampler, seed=0, trials=total, batch=batch, **values
    )


def answer(values):
    """Compute what a trial "comes to": best at a = 5, b = 0.01, c = x; it diverges at a = 8."""
    if values["a"] == 8:
        return None
    return (values["a"] - 5) ** 2 + math.log10(values.get("b", 0.01) / 0.01) ** 2 + (values.get("c") == "y")


class Killed(BaseException):
    pass


def carry_on(folder, what, stop=math.inf):
    """Search on; raise :class:`Killed` after ``stop`` answers of this call."""
    found = trials.Trials(folder, what)
    while batch := found.ask():
        for trial in batch:
            if stop == 0:
                raise Killed
            stop -= 1
            value = answer(trial.params)
            several = len(what.objectives) > 1
            values = None if value is None else [value, float(trial.params["a"])][: 1 + several]
            found.tell(trial, values, folder=f"job{trial.number}", status="finished" if values else "diverged")
    return found


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2", "grid"])
def test_a_search_killed_anywhere_ends_as_if_it_had_not_been(sampler, tmp_path):
    space = SPACE if sampler != "grid" else ["a=range(1,9)", "c=x,y,z"]
    objectives = ["validation/nll", "parameters"] if sampler == "nsga2" else ["validation/nll"]
    what = plan(sampler, total=18, space=space, objectives=objectives)
    whole = tmp_path / "whole"
    whole.mkdir()
    expected = search_record.record(carry_on(whole, what))
    assert expected["counts"] == {
        "complete": expected["counts"]["complete"],
        "failed": 18 - expected["counts"]["complete"],
        "open": 0,
    }
    assert len({tuple(entry["overrides"]) for entry in expected["trials"]}) > 12

    torn = tmp_path / "torn"
    torn.mkdir()
    for answers in (2, 7, 0):  # in the middle of a batch, in the next one, before the first answer
        with pytest.raises(Killed):
            carry_on(torn, what, stop=answers)
    assert search_record.record(carry_on(torn, what)) == expected

    # Cut the journal anywhere, in the middle of a line too: what was asked and not told is asked again.
    content = (whole / trials.JOURNAL).read_bytes()
    for share in [0.02, *np.linspace(0.4, 0.999, 4)]:
        cut = tmp_path / f"cut{share:.3f}"
        cut.mkdir()
        (cut / trials.JOURNAL).write_bytes(content[: int(len(content) * share)])
        assert search_record.record(carry_on(cut, what)) == expected


def test_the_number_of_trials_is_a_total(tmp_path):
    first = carry_on(tmp_path, plan(total=12))
    before = search_record.record(first)["trials"]
    assert carry_on(tmp_path, plan(total=12)).ask() == [] and len(before) == 12
    assert carry_on(tmp_path, plan(total=5)).ask() == []
    grown = search_record.record(carry_on(tmp_path, plan(total=18)))["trials"]
    assert grown[:12] == before and len(grown) == 18
    (tmp_path / "at_once").mkdir()
    assert grown == search_record.record(carry_on(tmp_path / "at_once", plan(total=18)))["trials"]


def test_the_batch_of_the_first_call_stays_unless_told_otherwise(tmp_path):
    assert carry_on(tmp_path, plan(total=6, batch=None)).batch == 6
    assert trials.Trials(tmp_path, plan(batch=None, first_batch=11)).batch == 6
    assert trials.Trials(tmp_path, plan(batch=4)).batch == 4
    assert trials.Trials(tmp_path, plan(batch=None)).batch == 4


def test_another_search_in_the_same_folder_is_refused(tmp_path):
    carry_on(tmp_path, plan(total=6))
    for other, part in [
        ({"sampler": "random"}, "search.sampler must be 'tpe'"),
        ({"objectives": ["test/nll"]}, "search.objective must be 'validation/nll'"),
        ({"space": ["a=range(1,9)"]}, "what is searched"),
        ({"fixed": []}, "the other options must be 'd=1'"),
        ({"config_digest": "2" * 64}, "config's digest"),
        ({"code_digest": "2" * 64}, "resume.accept_code=true"),
    ]:
        with pytest.raises(InputError) as caught:
            trials.Trials(tmp_path, plan(**other))
        assert part in str(caught.value) and "sweep=NAME" in str(caught.value)
    trials.Trials(tmp_path, plan(code_digest="2" * 64, accept_code=True))
    with pytest.raises(InputError, match="other code"):  # accepted once is not accepted for ever
        trials.Trials(tmp_path, plan(code_digest="2" * 64))


@pytest.mark.parametrize("line", [b"garbage", b"[]", b"{}", b'{"op_code": 99}', b"\xff\xfe"])
@pytest.mark.parametrize("where", [0, 3])
def test_a_damaged_journal_is_one_line_and_without_it_the_same_is_asked(line, where, tmp_path):
    asked = [trial.params for trial in carry_on(tmp_path, plan(total=4, batch=4)).all()]
    path = tmp_path / trials.JOURNAL
    lines = path.read_bytes().splitlines()
    lines[where] = line
    path.write_bytes(b"\n".join(lines) + b"\n")
    before = path.read_bytes()
    with pytest.raises(InputError, match="optuna.journal is damaged: .*sweep=NAME") as caught:
        trials.Trials(tmp_path, plan(total=4, batch=4))
    assert "\n" not in str(caught.value) and path.read_bytes() == before
    path.unlink()
    assert [trial.params for trial in carry_on(tmp_path, plan(total=4, batch=4)).all()] == asked


@pytest.mark.parametrize("torn", [b'{"op_co', b"garbage\n", b"\0\0\0\n", b"\xff\xfe\n"])
def test_a_torn_last_line_of_the_journal_is_cut_off(torn, tmp_path):
    carry_on(tmp_path, plan(total=4, batch=4))
    path = tmp_path / trials.JOURNAL
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    trials.drop_torn_line(path)
    assert path.read_bytes() == whole
    path.write_bytes(torn)
    trials.drop_torn_line(path)
    assert path.read_bytes() == b""


def test_a_journal_that_cannot_be_opened_is_one_line(tmp_path):
    (tmp_path / trials.JOURNAL).mkdir()
    with pytest.raises(InputError, match="cannot read .*optuna.journal: Is a directory"):
        trials.Trials(tmp_path, plan())


def test_other_code_may_take_up_a_search_that_has_told_nothing(tmp_path):
    with pytest.raises(Killed):
        carry_on(tmp_path, plan(), stop=0)
    carry_on(tmp_path, plan(code_digest="2" * 64), stop=24)
    with pytest.raises(InputError, match="other code"):
        trials.Trials(tmp_path, plan())


def test_tpe_learns(tmp_path):
    found = carry_on(tmp_path, plan(total=60, batch=6))
    values = [trial.values[0] for trial in found.all() if trial.values]
    assert sum(values[-20:]) < 0.6 * sum(values[:20])
    assert found.best()[0].values[0] == min(values)


def test_a_grid_walks_over_every_point_once_and_takes_no_interval(tmp_path):
    what = plan("grid", total=100, space=["a=range(1,4)", "c=x,y"])
    found = carry_on(tmp_path, what)
    points = [tuple(found.overrides(trial)) for trial in found.all()]
    assert points == [(f"a={a}", f"c={c}") for a in (1, 2, 3) for c in "xy"]
    with pytest.raises(InputError, match="no interval, got b="):
        samplers.grid_size(plan().space)


def test_the_front_is_what_no_other_beats(tmp_path):
    found = carry_on(tmp_path, plan("random", objectives=["validation/nll", "parameters"]))
    complete = [trial for trial in found.all() if trial.values]

    def beaten(one):
        return any(
            all(u <= v for u, v in zip(other.values, one.values)) and other.values != one.values for other in complete
        )

    expected = sorted(trial.number for trial in complete if not beaten(trial))
    assert sorted(trial.number for trial in found.best()) == expected
    assert set(search_record.record(found)["best"]) <= set(expected)
    text = search_record.table(found, "name")
    assert "on the front" in text and "best parameters: d=1 a=1" in text


def test_the_table_fits_a_terminal_and_ends_with_what_to_paste(tmp_path):
    space = [f"{group}.a_rather_long_name={first},{first + 1}" for first, group in enumerate("pqrstuvw")]
    found = trials.Trials(tmp_path, plan("grid", total=3, space=space))
    for trial in found.ask():
        found.tell(trial, [trial.number + 0.123456], folder=None, status="finished", error=None)
    lines = search_record.table(found, "name").splitlines()
    assert all(len(line) <= 80 for line in lines[:-1]) and "(no room for: " in lines[-2]
    assert lines[0] == "name: 3 complete; the best 3 by validation/nll"
    assert lines[-1].startswith("best validation/nll: d=1 p.a_rather_long_name=0 q.a_rather_long_name=1")


def job(result=None, status=JobStatus.COMPLETED, place="/s/x-12345678"):
    value = JobReturn()
    value.status, value.working_dir, value.return_value = status, place, result
    return value


def test_what_came_of_a_job(tmp_path):
    from pathlib import Path

    good = {"status": "finished", "validation": {"nll": 0.25}, "parameters": 9}
    names, folder = ["validation/nll", "parameters"], Path("/s")
    assert search.judge(job(good), names, folder) == (
        [0.25, 9.0],
        {"folder": "x-12345678", "status": "finished", "error": None},
    )
    for outcome, status, part in [
        (job(good | {"status": "diverged", "error": "not finite"}), "diverged", "not finite"),
        (job({"status": "failed", "error": "boom"}), "failed", "boom"),
        (job(good | {"validation": None}), "without", "validation/nll"),
        (job(good | {"validation": {"nll": math.inf}}), "without", "validation/nll"),
        (job(ValueError("bad"), JobStatus.FAILED), "failed", "ValueError: bad"),
        (job(None), "failed", "no result"),
        ("widths do not fit", "refused", "widths do not fit"),
    ]:
        values, facts = search.judge(outcome, names, folder)
        assert values is None and facts["status"] == status and part in facts["error"]


def test_jobs_whose_values_cannot_go_together_are_left_out_of_their_batch():
    class Launcher:
        def launch(self, jobs, initial_job_idx):
            if ["bad"] in jobs:
                raise InputError("bad is bad")
            return [job({"name": one[0]}) for one in jobs]

    def refusal(one):
        return "bad is bad" if one == ["bad"] else None

    found = search.launch([["a"], ["bad"], ["b"]], Launcher(), refusal, 0)
    assert [one if isinstance(one, str) else one.return_value["name"] for one in found] == ["a", "bad is bad", "b"]
    with pytest.raises(InputError):  # none of the jobs is at fault
        search.launch([["bad"]], Launcher(), lambda one: None, 0)


def test_a_batch_fills_the_processes_and_leaves_rounds_to_learn_from():
    assert search.first_batch("tpe", 60, 2) == 15 and search.first_batch("tpe", 1000, 2) == 16
    assert search.first_batch("nsga2", 1, 8) == 1
    assert search.first_batch("random", 60, 2) == 60 and search.first_batch("grid", 60, 2) == 60
    launcher = SimpleNamespace(workers=None, executor="inline")
    assert search.workers(launcher) == 1 and search.workers(SimpleNamespace(workers=5, executor="ray")) == 5


# From the command line.

SMALL = [
    "launcher=inline",
    "data.points_per_arm=20",
    "data.batch_size=32",
    "data.validation_points=40",
    "data.fresh_points=40",
    "logger=none",
    "figures=none",
    "trainer.max_epochs=1",
]


def lab(tmp_path, *words):
    return app.main(["train", "-m", "hydra/sweeper=search", f"paths.logs={tmp_path}", "sweep=mine", *SMALL, *words])


def results(folder):
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/result.json")}


def test_the_command_searches_goes_on_and_trains_nothing_twice(tmp_path, capsys):
    space = ["model.width=choice(4,8)", "model.depth=range(1,3)", "optimizer.lr=tag(log, interval(1e-3, 1e-1))"]
    assert lab(tmp_path, *space, "search.trials=2", "search.batch=2") == 0
    folder = tmp_path / "search" / "mine"
    before = results(folder)
    assert len(before) == 2
    capsys.readouterr()
    assert lab(tmp_path, *space, "search.trials=4", "search.batch=2") == 0
    said = capsys.readouterr().out
    after = results(folder)
    assert len(after) == 4 and before.items() <= after.items()
    written = json.loads((folder / "search.json").read_text())
    assert written["counts"] == {"complete": 4, "failed": 0, "open": 0}
    for trial in written["trials"]:
        result = json.loads((folder / trial["folder"] / "result.json").read_text())
        assert trial["values"] == {"validation/nll": result["validation"]["nll"]} and result["evaluated"] == "best"
    best = min(written["trials"], key=lambda trial: trial["values"]["validation/nll"])
    assert written["best"] == [best["number"]]
    assert said.splitlines()[-1].startswith("best validation/nll: data.points_per_arm=20")
    assert said.splitlines()[-1].endswith(" ".join(best["overrides"]))

    # The journal lost, the same trials are asked, and none is trained again.
    (folder / trials.JOURNAL).unlink()
    shutil.copy(folder / "search.json", folder / "before.json")
    assert lab(tmp_path, *space, "search.trials=4", "search.batch=2") == 0
    assert results(folder) == after
    assert (folder / "search.json").read_bytes() == (folder / "before.json").read_bytes()


def test_diverged_and_impossible_trials_are_told_as_failed_and_the_search_goes_on(tmp_path, capsys):
    space = [
        "schedule=choice(cosine)",
        "model.hidden=choice([4,4])",
        "optimizer.lr=0.1,1e29",
        "optimizer.nesterov=false,true",
        "optimizer.momentum=0.9,0",
    ]
    words = ["optimizer=sgd", "search.sampler=grid", "search.objective=[validation/nll,parameters]"]
    assert lab(tmp_path, *space, *words) == 0
    written = json.loads((tmp_path / "search" / "mine" / "search.json").read_text())
    by_status = {"finished": [], "diverged": [], "refused": []}
    for trial in written["trials"]:
        by_status[trial["status"]].append(set(trial["overrides"]))
    assert [len(found) for found in by_status.values()] == [3, 3, 2]
    assert all("optimizer.lr=1e+29" in values for values in by_status["diverged"])
    assert all({"optimizer.nesterov=True", "optimizer.momentum=0"} <= values for values in by_status["refused"])
    refused = next(trial for trial in written["trials"] if trial["status"] == "refused")
    assert refused["state"] == "failed" and refused["error"].startswith("optimizer.nesterov=true needs")
    assert "3 complete, 5 failed; " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["model.width=4,8", "search.trials=0"], "search.trials must be an integer >= 1, got 0"),
        (
            ["experiment=width_depth", "model.width=4,8"],
            "experiment=width_depth lists what to sweep, and a search takes",
        ),
        (["model.width=4,8", "search.objective=validation/nl"], "did you mean validation/nll?"),
        (["model.width=4,8", "search.sampler=tpee"], "did you mean tpe?"),
        (["model.width=interval(9,4)"], "LOW < HIGH"),
        (["model.width=8"], "needs a key to search"),
        (["optimizer.lr=interval(0.1,1)", "search.sampler=grid"], "no interval"),
        (["model.width=4,8", "data.fresh_points=0", "search.objective=fresh/nll", "search.trials=1"], "got none"),
    ],
)
def test_bad_input_is_one_line(words, part, tmp_path, capsys):
    assert lab(tmp_path, *words) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("mlplab: ") and part in last


def test_without_optuna_one_line_says_how_to_get_it(tmp_path, capsys, monkeypatch):
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "optuna"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("samplers", "trials", "record"):
        monkeypatch.delitem(sys.modules, f"mlplab.search.{name}")
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert lab(tmp_path, "model.width=4,8") == 2
    assert "pip install 'mlplab[search]'" in capsys.readouterr().err
