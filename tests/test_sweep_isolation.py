import json
import sys

import pytest
import torch
from omegaconf import OmegaConf
from sweeping import SMALL, folder_of, jobs_of, record_of, states_of, sweep

from mlplab.config.composition import compose
from mlplab.faults.faulty import Faulty
from mlplab.training.fit import fit_members

FAULTS = {1: "constructor", 3: "step", 4: "exit", 6: "os_exit", 7: "kill", 9: "segfault", 10: "interrupt", 11: "nan"}
TOLD = {
    1: "no such network can be built",
    3: "ValueError: this step fails",
    4: "SystemExit: 0",
    6: "exit code 3",
    7: "killed by SIGKILL",
    9: "killed by SIGSEGV",
    10: "KeyboardInterrupt",
    11: "the loss was not finite at step 2",
}
# What of each traceback shows that it is the culprit's own.
TRACED = {1: "no such network\ncan be built", 3: "in fail", 4: "SystemExit: 0", 9: "faulty.py", 10: "in fail"}


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """A folder of configs with one for networks that fail."""
    folder = tmp_path_factory.mktemp("conf")
    (folder / "model").mkdir()
    (folder / "model" / "faulty.yaml").write_text("_target_: mlplab.faults.faulty.Faulty\nfaults: null\nat_step: 3\n")
    return [f"--config-dir={folder}", "model=faulty"]


def faults(**kinds):
    return "model.faults={" + ", ".join(f"{seed}: {kind}" for seed, kind in kinds.items()) + "}"


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    """One population of 13 of which 8 fail, each in its own way; beside it a group of plain networks."""
    logs, folder = tmp_path_factory.mktemp("logs"), tmp_path_factory.mktemp("conf")
    (folder / "model").mkdir()
    lines = "".join(f"  seed{seed}: {kind}\n" for seed, kind in FAULTS.items())
    (folder / "model" / "faulty.yaml").write_text(
        f"_target_: mlplab.faults.faulty.Faulty\nat_step: 3\nfaults:\n{lines}"
    )
    code = sweep(logs, f"--config-dir={folder}", "model=faulty,mlp", "seed=range(0,13)")
    return logs, code


def test_a_failed_job_makes_the_exit_code_one(crashed):
    assert crashed[1] == 1


@pytest.mark.parametrize("model", ["faulty", "mlp"])
def test_the_others_end_with_the_bits_they_have_without_the_culprits(crashed, networks, model):
    good = [seed for seed in range(13) if model == "mlp" or seed not in FAULTS]
    config = OmegaConf.to_container(compose("train", [*SMALL, f"model={model}"], networks[0].partition("=")[2]))
    configs = [{**config, "seed": seed, "data": {**config["data"], "order_seed": seed}} for seed in good]
    alone = [fit_members([one], [None])[0]["state_sha256"] for one in configs]
    together = fit_members(configs, [None] * len(configs))
    assert alone == [result["state_sha256"] for result in together]
    states = states_of(crashed[0])
    assert alone == [states[f"{model} {seed}"] for seed in good]


@pytest.mark.parametrize("seed", FAULTS)
def test_each_failure_is_told_with_its_traceback_in_its_own_folder(crashed, seed):
    entry = jobs_of(crashed[0])[f"faulty {seed}"]
    folder = folder_of(crashed[0]) / entry["name"]
    assert TOLD[seed] in entry["error"] and "\n" not in entry["error"]
    status = json.loads((folder / "status.json").read_text())["status"]
    assert entry["status"] == status == ("diverged" if FAULTS[seed] == "nan" else "failed")
    if status == "failed":
        text = (folder / "traceback.txt").read_text()
        assert text.startswith(entry["error"].splitlines()[0]) and TRACED.get(seed, "") in text
        assert entry["result"] is None and not (folder / "result.json").exists()


def test_a_sweep_ends_with_its_failures_the_best_job_and_what_to_do_next(networks, tmp_path, capfd):
    assert sweep(tmp_path, *networks, faults(seed1="step", seed2="exit"), "seed=0,1,2") == 1
    lines = capfd.readouterr().err.splitlines()
    assert lines[-6] == "1 of 3 jobs finished, 2 did not:"
    assert lines[-3].startswith("lowest NLL ") and lines[-3].endswith(", seed=0")
    assert lines[-2] == f"folder       {folder_of(tmp_path)}"
    assert lines[-1] == f"report       mlplab report {folder_of(tmp_path)}"
    for line, seed in zip(lines[-5:-3], "12"):
        entry = jobs_of(tmp_path)[seed]
        assert line == f"failed: {folder_of(tmp_path) / entry['name'] / 'traceback.txt'}: {entry['error']}"


def test_only_what_failed_is_run_again(networks, tmp_path):
    words = [*networks, faults(seed1="step"), "seed=0,1,2"]
    assert sweep(tmp_path, *words) == 1
    before, record = stamps(tmp_path), record_of(tmp_path)
    assert sweep(tmp_path, *words) == 1
    after = stamps(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {jobs_of(tmp_path)["1"]["name"]}
    assert record_of(tmp_path) == record


def stamps(logs):
    """When each job's config was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder_of(logs).glob("*/config.yaml")}


@pytest.mark.parametrize("kind", ["hang", "hang_in_c"])
def test_a_job_that_hangs_is_killed_and_says_where(networks, tmp_path, kind):
    words = ["launcher.timeout_s=4", faults(seed1=kind), "seed=0,1"]
    assert sweep(tmp_path, *networks, *words) == 1
    jobs = jobs_of(tmp_path)
    assert jobs["0"]["status"] == "finished" and jobs["1"]["status"] == "failed"
    assert jobs["1"]["error"] == "no sign of life for 4 s (launcher.timeout_s)"
    assert "faulty.py" in (folder_of(tmp_path) / jobs["1"]["name"] / "traceback.txt").read_text()


def test_networks_that_cannot_stack_train_apart_in_one_sweep(networks, tmp_path):
    assert sweep(tmp_path, networks[0], "model=faulty,mlp", "seed=0,1") == 0
    members = [json.loads(path.read_text())["members"] for path in folder_of(tmp_path).glob("*/manifest.json")]
    assert members == [2, 2, 2, 2]


def test_the_helper_fails_as_it_says():
    assert "mlplab.faults.faulty" in sys.modules
    with torch.random.fork_rng([]), pytest.raises(ValueError, match="this step fails"):
        Faulty(2, 4, 3, {"seed3": "step"}, at_step=1)(None)
