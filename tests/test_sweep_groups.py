import json
from copy import deepcopy

import pytest

from mlplab.config.composition import compose
from mlplab.runs.identity import config_digest
from mlplab.sweeps import groups
from mlplab.sweeps.groups import Group, make_groups, member_bytes, stack_key
from mlplab.sweeps.jobs import PlannedJob, job_name, place_jobs, swept_values


@pytest.fixture(scope="module")
def base():
    from omegaconf import OmegaConf

    return OmegaConf.to_container(compose("train", ["trainer=cpu"]))


def with_values(base, **values):
    config = deepcopy(base)
    for key, value in values.items():
        *path, last = key.split("__")
        node = config
        for part in path:
            node = node[part]
        node[last] = value
    return config


def job(config, tmp_path, number=0):
    digest = config_digest(config)
    return PlannedJob(
        folder=tmp_path / digest[:8], swept={}, digest=digest, config=config, overrides=[], hydra=None, number=number
    )


def seeds(base, count, tmp_path, **values):
    return [job(with_values(base, seed=seed, **values), tmp_path, seed) for seed in range(count)]


def test_names_are_padded_so_that_they_sort_and_end_with_the_digest():
    swept = swept_values(
        [["model.width=8", "seed=0", "trainer.max_epochs=5"], ["model.width=128", "seed=0", "trainer.max_epochs=5"]]
    )
    assert swept == [{"model.width": 8}, {"model.width": 128}]
    names = [job_name(values, "0123456789abcdef") for values in swept]
    assert names == ["width0008-01234567", "width0128-01234567"] and sorted(names) == names


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        ("null", None),
        ("true", True),
        ("'1e-3'", "1e-3"),
        ("[1,2]", "[1,2]"),
        ("@x", "@x"),
        ("{a: 1}", "{a: 1}"),
        ("*x", "*x"),
        ("'a: b'", "a: b"),
        ("", ""),
        ("%y", "%y"),
        ("a/b", "a/b"),
    ],
)
def test_swept_values_are_read_as_hydra_reads_them(text, value):
    assert swept_values([[f"key={text}"], ["key=other"]])[0] == {"key": value}
    assert job_name({"key": value}, "0" * 64).isprintable() and "/" not in job_name({"key": value}, "0" * 64)


def test_a_name_stays_short():
    assert len(job_name({f"group.key{i}": "x" * 50 for i in range(20)}, "0" * 64)) < 120


def test_a_job_finds_its_folder_again_whatever_the_grid(tmp_path, base):
    config = with_values(base, seed=3)
    (first,) = place_jobs(tmp_path, [(config, None)], [["seed=3"]])
    first.folder.mkdir()
    (first.folder / "manifest.json").write_text(json.dumps({"config_digest": first.digest}))
    other = with_values(base, seed=3, model__width=7)
    again, new = place_jobs(
        tmp_path, [(config, None), (other, None)], [["seed=3", "model.width=128"], ["seed=3", "model.width=7"]]
    )
    assert again.folder == first.folder and new.folder.name == f"width0007-{new.digest[:8]}"


def test_two_jobs_with_the_same_8_digits_get_two_folders(tmp_path, base, monkeypatch):
    full = {1: "abcdef00" + "1" * 56, 2: "abcdef00" + "2" * 56}
    monkeypatch.setattr("mlplab.sweeps.jobs.config_digest", lambda config: full[config["seed"]])
    composed = [({"seed": seed}, None) for seed in (1, 2)]
    one, two = place_jobs(tmp_path, composed, [["x=1"], ["x=1"]])
    assert one.folder != two.folder
    (tmp_path / "sweep.json").write_text(
        json.dumps(
            {
                "format": 1,
                "jobs": [
                    {
                        "name": j.name,
                        "swept": {},
                        "config_digest": j.digest,
                        "overrides": j.overrides,
                        "status": "finished",
                    }
                    for j in (one, two)
                ],
            }
        )
    )
    swapped = place_jobs(tmp_path, composed[::-1], [["x=1"], ["x=1"]])
    assert [j.folder for j in swapped] == [two.folder, one.folder]


@pytest.mark.parametrize(
    "values",
    [
        {"seed": 5},
        {"data__seed": 5},
        {"data__noise": 0.3},
        {"optimizer__lr": 0.5},
        {"optimizer__weight_decay": 0.1},
        {"model__init_seed": 3},
        {"model__initialization": "xavier"},
        {"figures": "none"},
        {"evaluate_state": "last"},
    ],
    ids=str,
)
def test_members_may_differ_in_this(base, values):
    assert stack_key(with_values(base, **values)) == stack_key(base)


@pytest.mark.parametrize(
    "values",
    [
        {"model__width": 5},
        {"model__depth": 2},
        {"model__activation": "tanh"},
        {"model__dropout": 0.1},
        {"trainer__max_epochs": 5},
        {"data__batch_size": 5},
        {"data__points_per_arm": 5},
        {"loss__label_smoothing": 0.1},
        {"optimizer__lr": 0.5, "optimizer___target_": "torch.optim.RMSprop"},
        {"callbacks__early_stopping": {"a": 1}},
        {"schedule__final_fraction": 0.5},
    ],
    ids=str,
)
def test_members_must_not_differ_in_this(base, values):
    assert stack_key(with_values(base, **values)) != stack_key(base)


def sizes(made):
    return sorted(len(group.jobs) for group in made)


def test_every_job_is_in_one_group_and_the_dearest_come_first(base, tmp_path):
    jobs = seeds(base, 9, tmp_path) + seeds(base, 5, tmp_path, model__width=512)
    made = make_groups(jobs, [None] * 14, workers=2)
    assert sorted(j.digest for group in made for j in group.jobs) == sorted(j.digest for j in jobs)
    assert all(len({stack_key(j.config) for j in group.jobs}) == 1 for group in made)
    assert [group.cost for group in made] == sorted((group.cost for group in made), reverse=True)


@pytest.mark.parametrize(("count", "workers"), [(1, 2), (8, 2), (20, 2), (20, 3), (100, 2), (1000, 4), (50, 64)])
def test_one_group_keeps_all_workers_busy_to_the_end(base, tmp_path, count, workers):
    made = make_groups(seeds(base, count, tmp_path), [None] * count, workers=workers)
    assert sum(sizes(made)) == count
    if len(made) > 1:
        # Alike in size and a whole number of rounds: nobody waits for more than one member.
        assert len(made) % workers == 0 or len(made) == count or len(made) < workers
        assert sizes(made)[-1] - sizes(made)[0] <= 1
    assert len(made) >= min(workers, count // groups.FEWEST_MEMBERS)


@pytest.mark.parametrize("most", [1, 3, 7])
def test_max_members_bounds_a_group(base, tmp_path, most):
    made = make_groups(seeds(base, 20, tmp_path), [None] * 20, workers=1, max_members=most)
    assert sizes(made)[-1] <= most


def test_memory_bounds_a_group(base, tmp_path, monkeypatch):
    monkeypatch.setitem(groups.MOST_BYTES, "cpu", 3 * member_bytes(base))
    made = make_groups(seeds(base, 20, tmp_path), [None] * 20, workers=1)
    assert sizes(made)[-1] <= 3


def test_a_thousand_small_networks_stay_within_256_a_group_on_a_cpu(base, tmp_path):
    made = make_groups(seeds(base, 1000, tmp_path), [None] * 1000, workers=1)
    assert sizes(made)[-1] <= 256


def test_a_gpu_gets_the_whole_population(base, tmp_path):
    jobs = seeds(base, 1000, tmp_path, trainer__accelerator="gpu")
    assert sizes(make_groups(jobs, [None] * 1000, workers=1)) == [1000]


def test_only_jobs_of_one_place_go_on_together(base, tmp_path):
    jobs = seeds(base, 4, tmp_path)
    made = make_groups(jobs, [(2, 50), None, (2, 50), (3, 75)], workers=1)
    assert sorted((group.resume, sorted(j.number for j in group.jobs)) for group in made) == [
        (False, [1]),
        (True, [0, 2]),
        (True, [3]),
    ]


def test_studies_that_train_nothing_run_one_by_one(tmp_path):
    jobs = [job({"seed": seed}, tmp_path) for seed in range(3)]
    assert sizes(make_groups(jobs, [None] * 3, workers=2, stackable=False)) == [1, 1, 1]
    assert make_groups([], [], workers=2) == []


@pytest.mark.parametrize("count", [2, 3, 5])
def test_halves_hold_every_job_and_start_afresh(base, tmp_path, count):
    group = Group(seeds(base, count, tmp_path), resume=True, attempts=3)
    a, b = group.halves()
    assert a.jobs + b.jobs == group.jobs and a.jobs and b.jobs
    assert not a.resume and not b.resume and a.attempts == b.attempts == 0
