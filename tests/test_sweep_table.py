"""Sweep folders read back and grouped into settings."""

import json
import math
import shutil

import numpy as np
import pytest
import yaml
from scipy import special, stats
from sweep_folders import make_sweep, read_record, result, write_record, write_run

from mlplab.errors import InputError
from mlplab.report.joining import build
from mlplab.report.learning import EPOCHS, aligned, read_curve
from mlplab.report.table import order, setting_label, shown
from mlplab.runs.files import flatten, read_flat
from mlplab.runs.sweep_folder import differing, read_sweep


def table_of(*folders):
    return build([read_sweep(folder) for folder in folders])


def test_the_numbers_are_those_of_numpy_and_scipy(tmp_path):
    folder = make_sweep(tmp_path / "s", seeds=(0, 1, 2, 3))
    table = table_of(folder)
    assert table.keys == ["model.width", "model.depth"] and table.replicates == ["seed"]
    assert [setting.values for setting in table.settings] == [(16, 1), (16, 2), (32, 1), (32, 2)]
    for setting in table.settings:
        errors = [
            1 - job["result"]["fresh"]["accuracy"]
            for job in read_record(folder)["jobs"]
            if (job["swept"]["model.width"], job["swept"]["model.depth"]) == setting.values
        ]
        found = setting.summaries["fresh", "accuracy"]
        assert found.count == 4 == len(setting.finished)
        assert found.mean == pytest.approx(1 - np.mean(errors), rel=1e-14)
        assert found.sd == pytest.approx(np.std(errors, ddof=1), rel=1e-10)
        mean, half = 1 - np.mean(errors), stats.t.ppf(0.975, 3) * stats.sem(errors)
        ends = special.expit(special.logit(mean) + half / mean / (1 - mean) * np.array([-1, 1]))
        assert (found.low, found.high) == pytest.approx(tuple(ends), rel=1e-9)
        assert setting.parameters == 7 * setting.values[0] * setting.values[1]
        assert setting.mean("test", "bayes_nll") == 0.0324


def test_the_best_has_the_lowest_log_nll_and_the_marks_are_holms(tmp_path):
    table = table_of(make_sweep(tmp_path / "s", widths=(16, 22, 23, 24), seeds=range(4)))
    logs = [[math.log(job.metric("validation", "nll")) for job in one.finished] for one in table.settings]
    best = int(np.argmin([np.mean(values) for values in logs]))
    assert table.bests == [table.settings[best]] and table.chosen_by == "validation"
    p_values = {
        k: stats.ttest_ind(values, logs[best], equal_var=False).pvalue for k, values in enumerate(logs) if k != best
    }
    expected, rejecting = {best}, True
    for place, k in enumerate(sorted(p_values, key=p_values.get)):
        rejecting = rejecting and p_values[k] <= 0.05 / (len(p_values) - place)
        if not rejecting:
            expected.add(k)
    assert 1 < len(expected) < len(logs), "the example must have both kinds"
    assert {k for k, setting in enumerate(table.settings) if setting.near} == expected


def test_one_run_is_a_table_of_one_row_without_spread(tmp_path):
    table = table_of(make_sweep(tmp_path / "s", widths=(16,), depths=(1,), seeds=(0,)))
    (setting,) = table.settings
    assert setting.best and not setting.near and table.near == [] and not table.verdict
    assert setting.summaries["test", "nll"].sd is None


def test_run_folders_alone_give_the_same_table(tmp_path):
    with_record = table_of(make_sweep(tmp_path / "s"))
    without = table_of(make_sweep(tmp_path / "t", record=False))
    assert without.keys == with_record.keys and without.replicates == with_record.replicates
    for a, b in zip(with_record.settings, without.settings, strict=True):
        assert (a.values, a.summaries, a.near, a.best) == (b.values, b.summaries, b.near, b.best)
    assert "no sweep.json" in without.notes[0]


def test_folders_of_other_launchers_are_found_one_level_deeper(tmp_path):
    make_sweep(tmp_path / "multirun" / "2024-01-01", record=False)
    assert len(table_of(tmp_path / "multirun").jobs) == 12


def test_diverged_failed_and_unfinished_runs_are_counted_and_not_averaged(tmp_path):
    folder = make_sweep(tmp_path / "s", seeds=range(5))
    jobs = read_record(folder)["jobs"]
    whole = table_of(folder).settings[0].summaries["test", "nll"]
    jobs[0] |= {"status": "diverged", "error": "the loss was not finite at step 3"}
    jobs[0]["result"] = dict(jobs[0]["result"], status="diverged", test=None, fresh=None, validation=None)
    jobs[1] |= {"status": "failed", "error": "boom", "result": None}
    jobs[2] |= {"status": "missing", "result": None}
    shutil.rmtree(folder / jobs[2]["name"])
    write_record(folder, jobs)
    setting = table_of(folder).settings[0]
    counted = (len(setting.jobs), len(setting.finished), setting.count("diverged"), setting.count("failed"))
    assert counted == (5, 2, 1, 1) and setting.unfinished == 1
    assert setting.summaries["test", "nll"].count == 2 != whole.count


def test_what_a_killed_sweep_did_not_write_down_is_read_from_the_run_folders(tmp_path):
    folder = make_sweep(tmp_path / "s")
    jobs = read_record(folder)["jobs"]
    for job in jobs[:3]:
        job |= {"status": "missing", "result": None}
    (folder / jobs[1]["name"] / "result.json").unlink()
    (folder / jobs[2]["name"] / "result.json").write_text("{half")
    write_record(folder, jobs)
    found = read_sweep(folder).jobs
    assert [job.status for job in found[:3]] == ["finished", "failed", "failed"]
    assert "no result.json" in found[1].error and "damaged" in found[2].error


def test_a_lucky_single_run_is_not_the_best_setting(tmp_path):
    folder = make_sweep(tmp_path / "s", seeds=range(4))
    jobs = read_record(folder)["jobs"]
    for job in jobs[:4]:
        job |= {"status": "failed", "result": None}
    jobs[0] |= {"status": "finished", "result": result(1e-6)}
    write_record(folder, jobs)
    table = table_of(folder)
    assert table.settings[0].mean("test", "nll") < 1e-5 and not table.settings[0].best
    assert not table.settings[0].near and table.settings[0].difference is None, "of a single run nothing is said"


def test_nothing_finished_is_no_best(tmp_path):
    folder = make_sweep(tmp_path / "s")
    jobs = read_record(folder)["jobs"]
    for job in jobs:
        job |= {"status": "failed", "error": "boom", "result": None}
    write_record(folder, jobs)
    table = table_of(folder)
    assert table.chosen_by is None and table.bests == [] == table.near


def test_without_validation_points_fresh_ones_choose(tmp_path):
    folder = make_sweep(tmp_path / "s")
    jobs = read_record(folder)["jobs"]
    for job in jobs:
        job["result"]["validation"] = None
    write_record(folder, jobs)
    assert table_of(folder).chosen_by == "fresh"


def test_settings_of_other_noise_are_not_compared(tmp_path):
    for noise in (0.08, 0.16):
        for width in (16, 32):
            for seed in range(3):
                error = (noise + 1 / width) * (1 + 0.01 * seed)
                write_run(
                    tmp_path / "s" / f"{noise}-{width}-{seed}", result(error), noise=noise, width=width, seed=seed
                )
    table = table_of(tmp_path / "s")
    assert [one.values for one in table.bests] == [(0.08, 32), (0.16, 32)]
    assert any("not compared" in note for note in table.notes)


class TestMerging:
    def test_a_grid_in_two_halves_is_the_grid(self, tmp_path):
        whole = table_of(make_sweep(tmp_path / "all", widths=(16, 32), seeds=range(3)))
        jobs = read_record(tmp_path / "all")["jobs"]
        for name, width in (("a", 16), ("b", 32)):
            own = [dict(job, swept=dict(job["swept"])) for job in jobs if job["swept"]["model.width"] == width]
            for job in own:
                del job["swept"]["model.width"]  # fixed within each half
                shutil.copytree(tmp_path / "all" / job["name"], tmp_path / name / job["name"])
            write_record(tmp_path / name, own)
        merged = table_of(tmp_path / "a", tmp_path / "b")
        assert sorted(merged.keys) == sorted(whole.keys) and len(merged.settings) == 4
        by = {frozenset(zip(whole.keys, one.values)): one.summaries for one in whole.settings}
        for setting in merged.settings:
            assert by[frozenset(zip(merged.keys, setting.values))] == setting.summaries

    def test_what_else_differs_becomes_a_key(self, tmp_path):
        make_sweep(tmp_path / "a")
        make_sweep(tmp_path / "b")
        for path in (tmp_path / "b").glob("*/config.yaml"):
            path.write_text(path.read_text().replace("max_epochs: 20", "max_epochs: 50"))
        record = read_record(tmp_path / "b")
        for job in record["jobs"]:
            job["config_digest"] = "b" + job["config_digest"]
        write_record(tmp_path / "b", record["jobs"])
        table = table_of(tmp_path / "a", tmp_path / "b")
        assert "trainer.max_epochs" in table.keys and len(table.settings) == 8
        assert any("trainer.max_epochs" in note for note in table.notes)

    def test_the_same_runs_count_once(self, tmp_path):
        make_sweep(tmp_path / "a")
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        table = table_of(tmp_path / "a", tmp_path / "b")
        assert len(table.jobs) == 12 and any("12 runs" in note for note in table.notes)

    def test_the_order_of_the_folders_does_not_matter(self, tmp_path):
        make_sweep(tmp_path / "a", widths=(16,))
        make_sweep(tmp_path / "b", widths=(32, 64))
        one, other = (table_of(*(tmp_path / name for name in names)) for names in ("ab", "ba"))
        assert [s.values for s in one.settings] == [s.values for s in other.settings]

    def test_other_studies_are_refused(self, tmp_path):
        make_sweep(tmp_path / "a")
        make_sweep(tmp_path / "b")
        write_record(tmp_path / "b", read_record(tmp_path / "b")["jobs"], study="mlplab.studies.lif.study:lif")
        with pytest.raises(InputError, match="of one study.*lif, train"):
            table_of(tmp_path / "a", tmp_path / "b")


REST = '"swept": {}, "config_digest": ""'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "lists no jobs"),
        ('{"format": 1}', "lists no jobs"),
        ('{"format": 1, "jobs": []}', "lists no jobs"),
        ('{"format": 9, "jobs": [{}]}', "format 1"),
        ('{"format": 1, "jobs": [{}]}', "job 0 lacks name"),
        ('{"format": 1, "jobs": [7]}', "job 0 lacks"),
        ("{", "not JSON"),
        ("", "not JSON"),
        ('{"format": 1, "jobs": [{"name": "../x", %s, "status": "failed"}]}' % REST, "../x"),
        ('{"format": 1, "jobs": [{"name": "x", %s, "status": "odd"}]}' % REST, "known status"),
    ],
)
def test_a_damaged_record_without_runs_is_refused_in_one_line(tmp_path, content, words):
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(InputError, match=words) as caught:
        read_sweep(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_damaged_record_beside_runs_is_passed_over_with_a_note(tmp_path):
    folder = make_sweep(tmp_path / "s")
    (folder / "sweep.json").write_text("{")
    table = table_of(folder)
    assert len(table.jobs) == 12 and "sweep.json is damaged" in table.notes[0]


@pytest.mark.parametrize("value", [[1], {"a": 1}, 10**400])
def test_a_swept_value_that_is_no_plain_one_is_damage(tmp_path, value):
    folder = make_sweep(tmp_path / "s")
    jobs = read_record(folder)["jobs"]
    jobs[3]["swept"]["model.width"] = value
    write_record(folder, jobs)
    assert "job 3 has no plain value of model.width" in table_of(folder).notes[0]


@pytest.mark.parametrize("swept", [3, None, "abc", [3]])
def test_swept_keys_are_read_from_the_jobs_where_the_record_names_none(tmp_path, swept):
    folder = make_sweep(tmp_path / "s")
    write_record(folder, read_record(folder)["jobs"], swept=swept)
    assert table_of(folder).keys == table_of(make_sweep(tmp_path / "t")).keys


def test_a_figure_too_large_to_compute_with_is_none(tmp_path):
    folder = make_sweep(tmp_path / "s")
    jobs = read_record(folder)["jobs"]
    jobs[0]["result"]["test"]["bayes_nll"] = 10**400
    write_record(folder, jobs)
    assert read_sweep(folder).jobs[0].metric("test", "bayes_nll") is None and table_of(folder).bests


def test_folders_that_are_no_sweep_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_sweep(tmp_path / "absent")
    with pytest.raises(InputError, match="holds no runs"):
        read_sweep(tmp_path)
    write_run(tmp_path / "run", result(0.1))
    with pytest.raises(InputError, match="a single run"):
        read_sweep(tmp_path / "run")


def test_a_run_whose_config_is_damaged_is_left_out_with_a_note(tmp_path):
    make_sweep(tmp_path / "s", record=False)
    first = sorted((tmp_path / "s").iterdir())[0]
    (first / "config.yaml").write_bytes(b"\xff\xfe")
    table = table_of(tmp_path / "s")
    assert len(table.jobs) == 11 and any("left out" in note for note in table.notes)
    for path in (tmp_path / "s").glob("*/config.yaml"):
        path.write_text("[")
    with pytest.raises(InputError, match="no run that can be read"):
        read_sweep(tmp_path / "s")


def test_odd_results_do_not_disturb(tmp_path):
    folder = make_sweep(tmp_path / "s")
    jobs = read_record(folder)["jobs"]
    jobs[0]["result"]["test"] = {"accuracy": "high", "nll": None}
    jobs[1]["result"]["test"]["nll"] = True
    write_record(folder, jobs)
    setting = table_of(folder).settings[0]
    assert ("test", "accuracy") not in setting.summaries and ("fresh", "accuracy") in setting.summaries


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb:\n  c: null\n  d: [1, 2]\n  e:\n  - x\n  - 1.5\n  - null\nf: 1.0e-08\ng: {}\n",
        "a:\n  b:\n    c: true\n  d: 'it''s'\ne: \"q: r\"\n",
        "a: 'long text that\n  goes on'\nb: 2\n",
        "a:\n- b: 1\n  c: 2\n- d\n",
        "a: |\n  block\n  text\nb: x\n",
        "# comment\na: 1\n\nb: 2\n",
        "a:\n  - 1\n  - - 2\n    - 3\n",
        "a:\nb: 1\n",
    ],
)
def test_the_fast_reader_agrees_with_the_yaml_parser(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    assert read_flat(tmp_path / "config.yaml") == flatten(yaml.safe_load(text))


def test_keys_that_always_equal_another_are_not_swept():
    configs = [{"seed": s, "data.order_seed": s, "width": w, "fixed": 1} for s in (0, 1) for w in (8, 9)]
    assert differing(configs) == ["seed", "width"]
    assert differing(configs[:1]) == []


def test_values_are_ordered_and_named_as_people_do():
    values = [None, "b", 10, 2.5, "[14]", "[9,5]", "a", "[143]"]
    assert sorted(values, key=order) == [2.5, 10, "a", "b", "[14]", "[143]", "[9,5]", None]
    assert [shown(v) for v in (None, True, 0.001, "mlplab.data.modules.Moons")] == ["null", "true", "0.001", "Moons"]
    assert setting_label(["model.width", "data.noise"], [16, 0.1]) == "width=16 noise=0.1"
    assert setting_label(["data.seed", "model.seed"], [1, 2]) == "data.seed=1 model.seed=2"
    assert setting_label([], []) == "the one setting"


def test_curves_are_thinned_to_logarithmic_epochs_and_the_last(tmp_path):
    path = tmp_path / "metrics.csv"
    rows = [f"{epoch},{epoch * 25},{1 / epoch!r}," for epoch in range(1, 1235)]
    path.write_text("\n".join(["epoch,step,val/nll,lr", *rows, "1235,3"]))  # the last row was cut short
    name, values = read_curve(path, ("val/other", "val/nll"))
    assert name == "val/nll" and set(values) == {e for e in EPOCHS if e <= 1234} | {1234}
    assert all(value == 1 / epoch for epoch, value in values.items()) and len(values) < 60
    assert np.isnan(read_curve(path, ("lr",))[1][1])
    for content in ("", "epoch,val/nll\n", "a,b\n1,2\n", "epoch,val/nll\nx,1\n", "epoch,val/nll\n1\n"):
        path.write_text(content)
        assert read_curve(path, ("val/nll",)) is None
    assert read_curve(tmp_path / "absent", ("val/nll",)) is None


def test_curves_of_different_length_share_their_epochs():
    epochs, values = aligned([{1: 1.0, 2: 0.5}, {2: 0.4, 5: 0.1}])
    assert epochs.tolist() == [1, 2, 5]
    np.testing.assert_array_equal(values, [[1.0, 0.5, np.nan], [np.nan, 0.4, 0.1]])
    assert aligned([])[1].shape == (0, 0)


def test_other_run_folders_beside_the_record_are_told(tmp_path):
    folder = make_sweep(tmp_path / "s")
    write_run(folder / "left-over", result(0.5))
    sweep = read_sweep(folder)
    assert len(sweep.jobs) == 12 and "left-over" in sweep.notes[0]
    assert json.loads((folder / "left-over" / "result.json").read_text())["status"] == "finished"
