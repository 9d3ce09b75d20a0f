"""Many jobs as one population: each leaves what it leaves alone."""

import json

import pytest
from small_runs import StopAt, assert_same_run, base, changed, comparable, quick, status, train, whole  # noqa: F401 (fixtures among them)

from mlplab.errors import InputError
from mlplab.training.fit import fit_members


def variants(base):
    def one(**changes):
        return quick(base, trainer__max_epochs=3, **changes)

    return [
        one(seed=0),
        one(seed=1),
        one(seed=1, optimizer__lr=0.05),
        one(seed=2, data__seed=5),
        one(seed=3, data__noise=0.4, optimizer__weight_decay=0.1),
        one(seed=4, evaluate_state="last"),
        one(seed=0, optimizer__betas=[0.5, 0.9]),
        one(seed=5, optimizer__lr=1e25),
        one(seed=6, model__init_seed=0),
    ]


@pytest.mark.parametrize("changes", ({}, {"model__dropout": 0.3, "trainer__gradient_clip_val": 0.1}), ids=str)
def test_a_member_leaves_what_a_run_alone_leaves(base, tmp_path, changes):
    configs = [changed(config, **changes) for config in variants(base)]
    folders = [tmp_path / "together" / str(i) for i in range(len(configs))]
    for folder in folders:
        folder.mkdir(parents=True)
    told = []
    results = fit_members(configs, folders, on_result=lambda index, result: told.append(index))
    assert told == list(range(len(configs)))
    for index, (config, folder, result) in enumerate(zip(configs, folders, results)):
        alone = train(config, tmp_path / "alone" / str(index))
        assert comparable(alone) == comparable(result) == comparable(json.loads((folder / "result.json").read_text()))
        for name in ("metrics.csv", "config.yaml"):
            pair = [parent / name for parent in (folder, tmp_path / "alone" / str(index))]
            assert pair[0].exists() == pair[1].exists()
            assert not pair[0].exists() or pair[0].read_bytes() == pair[1].read_bytes()
        assert status(folder) == result["status"]
    assert results[7]["status"] == "diverged" and {r["status"] for r in results[:7]} == {"finished"}


def test_members_have_their_own_pictures(base, whole, tmp_path):
    configs = [base, changed(base, seed=1, figures="map")]
    for name in "01":
        (tmp_path / name).mkdir()
    fit_members(configs, [tmp_path / "0", tmp_path / "1"])
    assert_same_run(whole, tmp_path / "0")
    assert (tmp_path / "0/figures/decision_map.png").read_bytes() != (
        tmp_path / "1/figures/decision_map.png"
    ).read_bytes()


def test_a_stopped_population_goes_on_to_the_same_bits(base, tmp_path):
    stopping = {
        "_target_": "mlplab.training.callbacks.EarlyStopping",
        "monitor": "val/loss",
        "patience": 1,
        "min_delta": 0.02,
    }
    configs = [changed(config, callbacks__early_stopping=stopping, trainer__max_epochs=6) for config in variants(base)]
    whole = [tmp_path / "whole" / str(i) for i in range(len(configs))]
    parts = [tmp_path / "parts" / str(i) for i in range(len(configs))]
    for folder in (*whole, *parts):
        folder.mkdir(parents=True)
    results = fit_members(configs, whole)
    assert len({result["epochs"] for result in results}) > 2
    with pytest.raises(KeyboardInterrupt):
        fit_members(configs, parts, observer=StopAt(24))
    assert {status(folder) for folder in parts} == {"interrupted"}
    resumed = fit_members(configs, parts, resume=True)
    assert [comparable(r) for r in resumed] == [comparable(r) for r in results]
    for a, b in zip(whole, parts):
        assert (a / "metrics.csv").exists() == (b / "metrics.csv").exists()
        assert not (a / "metrics.csv").exists() or (a / "metrics.csv").read_bytes() == (b / "metrics.csv").read_bytes()


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"data__batch_size": 32}, "data.batch_size"),
        ({"trainer__max_epochs": 9}, "trainer.max_epochs"),
        ({"loss__label_smoothing": 0.1}, "loss.label_smoothing"),
        ({"optimizer___target_": "torch.optim.AdamW"}, "optimizer._target_"),
        ({"schedule": {"_target_": "mlplab.population.schedules.Cosine"}}, "schedule.final_fraction"),
    ],
)
def test_jobs_that_are_no_population_are_refused(base, change, key):
    with pytest.raises(InputError, match=f"{key} must be the same in all jobs"):
        fit_members([quick(base), quick(base, **change)], [None, None])
