import pytest

from mlplab.runs.identity import (
    REPEATING,
    ROLES,
    Role,
    config_digest,
    may_differ,
    override_role,
    role_of,
    unlike,
    without,
)

CONFIG = {
    "seed": 0,
    "name": None,
    "paths": {"logs": "a"},
    "callbacks": {"early_stopping": {"patience": 3}},
    "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.1},
    "model": {"width": 3},
    "data": {"noise": 0.1},
}


def test_the_digest_leaves_out_what_version_0_1_left_out():
    before = {"name", "paths", "resume", "logger", "figures", "sweep", "launcher", "search"}
    assert before <= set(without(Role.IDENTITY)) <= before | {"hydra", "figure_formats", "data.copy"}


@pytest.mark.parametrize(
    ("key", "role"),
    [
        ("model.width", Role.IDENTITY | Role.SHOWN),
        ("callbacks.progress.every_seconds", Role.IDENTITY),
        ("callbacks.early_stopping.patience", Role.IDENTITY | Role.SHOWN),
        ("hydra/launcher", ROLES["hydra"]),
        ("hydra.run.dir", ROLES["hydra"]),
        ("paths.logs", ROLES["paths"]),
        ("data", ROLES[""]),
    ],
)
def test_a_key_plays_the_parts_of_the_nearest_one_that_holds_it(key, role):
    assert role_of(key) == role
    assert override_role(f"+{key}=1,2") == override_role(f"~{key}") == role


def test_only_what_counts_is_shown_or_repeats():
    for key, role in ROLES.items():
        assert Role.IDENTITY in role or not role & (Role.SHOWN | Role.REPEATS), key
        assert Role.OF_SWEEP in role or Role.OF_CALL not in role, key
    assert REPEATING == ("seed", "data.seed", "data.order_seed", "model.init_seed")


def digest(**changes):
    return config_digest(CONFIG | changes), config_digest(CONFIG | changes, may_differ(CONFIG))


def test_members_of_a_group_may_differ_in_seeds_and_in_the_settings_that_the_optimiser_takes_one_a_member():
    alone, group = digest()
    for change in ({"seed": 1}, {"optimizer": {"_target_": "torch.optim.Adam", "lr": 0.2}}, {"data": {"noise": 0.2}}):
        other_alone, other_group = digest(**change)
        assert other_alone != alone and other_group == group
    assert digest(model={"width": 4})[1] != group
    assert digest(name="x") == (alone, group)
    assert "optimizer.lr" not in may_differ({"optimizer": {"_target_": "my.Optimizer"}})


def test_configs_are_alike_but_for_what_members_may_differ_in():
    first, *others = ({"seed": seed, "model": {"width": 6}, "data": {"seed": seed}} for seed in range(3))
    assert unlike([first, *others]) is None and unlike([first]) is None
    assert unlike([first, first | {"model": {"width": 7}}]) == "model.width"
