"""What a sweep asks for, looked at before anything runs."""

import re

import pytest
import yaml

from mlplab.config.sweep_values import check_sweep
from mlplab.errors import InputError


def test_a_sweep_is_looked_at_value_by_value():
    good = ["model.width=16,32", "seed=range(0,3)", "optimizer=adam,sgd", "data.noise=0.3"]
    first = check_sweep("train", ["seed=7", *good]).config
    assert (first.model.width, first.seed) == (16, 0)
    for wrong, part in [
        ("model.width=16,abc", "model.width must be an integer >= 1, got 'abc'"),
        ("optimizer=adam,adma", "optimizer must be one of"),
        ("seed=0,-1", "seed must be an integer"),
        ("model.widht=1,2", "did you mean model.width?"),
        ("model=interval(0,1),mlp", "model: a list of values must hold no range, interval, choice or glob"),
        ("loss=glob(nope*)", "loss must match at least one option"),
        ("data.noise=0.3", "data.noise is swept and must be given once"),
        ("data.noise=0.1,0.2", "data.noise is swept and must be given once"),
        ("seed=range(1000000)", "at most 1,000,000 jobs, got 2,000,000 (2 of data.noise x 1,000,000"),
        ("seed=range(0,100000000000000000000)", "got 200,000,000,000,000,000,000 (2 of data.noise x"),
        ("optimizer.lr=range(0.1,1e9,1e-3)", "optimizer.lr: a range must have at most"),
    ]:
        with pytest.raises(InputError) as caught:
            check_sweep("train", ["data.noise=0.1,0.2", wrong])
        assert part in str(caught.value)


def test_a_glob_takes_the_names_of_a_group_and_of_a_further_folder_too(tmp_path):
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "zeal.yaml").write_text("_target_: torch.optim.Adam\nlr: -1\n")
    assert check_sweep("train", ["optimizer=glob(*)"]).choices["optimizer"] == "adam"
    with pytest.raises(InputError, match="optimizer.lr must be a number > 0 and <= 1e\\+30, got -1"):
        check_sweep("train", ["optimizer=glob(*)"], tmp_path)


@pytest.mark.parametrize(
    ("params", "part"),
    [
        ({"model.width": "4,x"}, "model.width must be an integer >= 1, got 'x'"),
        ({"model.widht": "4,8"}, "did you mean model.width?"),
        ({"model.width": "[4,"}, "model.width must be a value that Hydra can read"),
        ({"model.width": "4,8", "paths.logs": "a,b"}, "paths.logs takes one value for a whole sweep"),
        ({"seed": "range(1000)", "data.seed": "range(1001)"}, "at most 1,000,000 jobs, got 1,001,000"),
    ],
)
def test_what_an_experiment_sweeps_is_looked_at_too(params, part, tmp_path):
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\n" + yaml.safe_dump({"hydra": {"sweeper": {"params": params}}})
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        check_sweep("train", ["experiment=mine"], tmp_path)
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_an_experiment_may_sweep_what_it_adds(tmp_path):
    (tmp_path / "experiment").mkdir()
    text = '# @package _global_\nhydra: {sweeper: {params: {+trainer.val_check_interval: "0.5,1.0", ++seed: "3,4"}}}\n'
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    first = check_sweep("train", ["experiment=mine"], tmp_path).config
    assert (first.trainer.val_check_interval, first.seed) == (0.5, 3)
    first = check_sweep("train", ["experiment=mine", "+trainer.val_check_interval=0.25", "seed=7"], tmp_path).config
    assert (first.trainer.val_check_interval, first.seed) == (0.25, 7)


def test_the_command_line_takes_the_place_of_what_an_experiment_sweeps():
    first = check_sweep("train", ["experiment=width_depth", "model.width=24", "seed=3,4"]).config
    assert (first.model.width, first.model.depth, first.seed) == (24, 1, 3)
    first = check_sweep("train", ["experiment=width_depth", "++model.width=24"]).config
    assert (first.model.width, first.model.depth, first.seed) == (24, 1, 0)


@pytest.mark.parametrize("experiments", ("width_depth,noise", "tutorial,noise", "noise,tutorial"))
def test_an_experiment_that_sweeps_is_run_by_itself(experiments):
    assert check_sweep("train", ["experiment=tutorial,near_bayes"]).choices["experiment"] == "tutorial"
    with pytest.raises(InputError, match=f"must be run by itself, got experiment={experiments}"):
        check_sweep("train", [f"experiment={experiments}"])


def test_an_experiment_may_choose_hydras_sweeper_and_launcher(tmp_path):
    (tmp_path / "experiment").mkdir()
    words = "- override /hydra/sweeper: search\n- override /hydra/launcher: basic\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\ndefaults:\n{words}")
    usual, mine = check_sweep("train", []).choices, check_sweep("train", ["experiment=mine"], tmp_path).choices
    assert (usual["hydra/sweeper"], usual["hydra/launcher"]) == ("grid", "population")
    assert (mine["hydra/sweeper"], mine["hydra/launcher"]) == ("search", "basic")


def test_a_batch_of_no_jobs_is_refused():
    with pytest.raises(InputError, match="hydra.sweeper.max_batch_size must be null, or an integer >= 1, got 0"):
        check_sweep("train", ["seed=0,1", "hydra.sweeper.max_batch_size=0"])


@pytest.mark.parametrize(
    "text",
    [
        "launcher=inline,processes",
        "launcher.workers=1,2",
        "paths.logs=a,b",
        "sweep=a,b",
        "resume.accept_code=true,false",
        "search.trials=1,2",
        "++search.trials=1,2",
        "search.objective=parameters,epochs",
        "hydra/launcher=basic,population",
    ],
)
def test_what_belongs_to_the_sweep_itself_is_not_swept(text):
    with pytest.raises(InputError, match=re.escape(f"takes one value for a whole sweep, got {text}")):
        check_sweep("train", ["seed=0,1", text])
