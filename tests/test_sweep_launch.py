import json
import re

import pytest
from omegaconf import OmegaConf
from sweeping import SMALL, folder_of, jobs_of, record_of, states_of, sweep
from test_loggers import HParams

from mlplab.cli.app import main
from mlplab.sweeps.display import Display
from mlplab.sweeps.executors import Processes

WIDTHS = ["model.width=4,5,8", "model.depth=1,2", "seed=0,1"]
# All that a run leaves but for the curves; dropout draws while training.
FULL = [
    "trainer=cpu",
    "trainer.max_epochs=3",
    "data.points_per_arm=60",
    "data.batch_size=16",
    "data.fresh_points=100",
    "data.validation_points=40",
    "figures=map",
    "callbacks.decision_maps.resolution=16",
    "model.dropout=0.1",
]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    logs = tmp_path_factory.mktemp("swept")
    assert sweep(logs, *FULL, *WIDTHS, small=False) == 0
    return logs


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """The same configs as three of the members, each run alone."""
    logs = tmp_path_factory.mktemp("single")
    for width, depth, seed in ((4, 1, 0), (5, 2, 1), (8, 2, 0)):
        words = [f"model.width={width}", f"model.depth={depth}", f"seed={seed}"]
        assert main(["train", *FULL, *words, f"paths.logs={logs}", f"name={width}-{depth}-{seed}"]) == 0
    return {path.name.replace("-", " "): path for path in (logs / "train").iterdir()}


def plain(path):
    """A JSON file without times, places and processes."""
    value = json.loads(path.read_text())
    for key in ("seconds", "name", "pid", "process", "heartbeat", "heartbeat_utc", "start_utc", "command", "members"):
        value.pop(key, None)
    return value


@pytest.mark.parametrize("key", ["4 1 0", "5 2 1", "8 2 0"])
def test_a_member_is_bitwise_the_single_run(swept, single, key):
    member, alone = folder_of(swept) / jobs_of(swept)[key]["name"], single[key]
    # Of a sweep, one playground serves all.
    files = {path.relative_to(alone) for path in alone.rglob("*") if path.is_file() and path.name != "playground.html"}
    assert {path.relative_to(member) for path in member.rglob("*") if path.is_file()} == files
    assert plain(member / "result.json") == plain(alone / "result.json")
    assert plain(member / "manifest.json") == plain(alone / "manifest.json")
    for name in ("metrics.csv", "figures/decision_map.png", "checkpoints/best.ckpt"):
        assert (member / name).read_bytes() == (alone / name).read_bytes(), name
    configs = [OmegaConf.to_container(OmegaConf.load(path / "config.yaml")) for path in (member, alone)]
    for config in configs:
        assert config.pop("paths") and (config.pop("name"), config.pop("sweep")) is not None
    assert configs[0] == configs[1]


def test_a_member_has_hydras_files_of_its_own(swept):
    for key, entry in jobs_of(swept).items():
        width, depth, seed = map(int, key.split())
        folder = folder_of(swept) / entry["name"] / ".hydra"
        config = OmegaConf.load(folder / "config.yaml")
        assert (config.model.width, config.model.depth, config.seed) == (width, depth, seed)
        assert OmegaConf.load(folder.parent / "config.yaml") == config
        overrides = OmegaConf.load(folder / "overrides.yaml")
        assert f"model.width={width}" in overrides and f"seed={seed}" in overrides
        own = OmegaConf.load(folder / "hydra.yaml").hydra
        assert own.overrides.task == overrides and own.runtime.output_dir == str(folder.parent)
        assert own.runtime.choices.data == "spiral"
    numbers = [OmegaConf.load(path).hydra.job.num for path in folder_of(swept).glob("*/.hydra/hydra.yaml")]
    assert sorted(numbers) == list(range(12))


def test_members_of_one_shape_share_a_population(swept):
    members = [json.loads(path.read_text())["members"] for path in folder_of(swept).glob("*/manifest.json")]
    assert members == [2] * 12


def test_nothing_but_the_jobs_and_the_record_is_left(swept):
    names = {path.name for path in folder_of(swept).iterdir()}
    job = re.compile(r"width\d{4}-depth\d{4}-seed\d{4}-[0-9a-f]{8}")
    assert {name for name in names if not job.fullmatch(name)} == {"sweep.json", "multirun.yaml", "playground.html"}


def test_sweep_json_holds_every_job_with_its_result(swept):
    record = json.loads((folder_of(swept) / "sweep.json").read_text())
    assert record["swept"] == ["model.width", "model.depth", "seed"] and len(record["jobs"]) == 12
    for entry in record["jobs"]:
        result = json.loads((folder_of(swept) / entry["name"] / "result.json").read_text())
        assert entry["result"] == result and entry["parameters"] == result["parameters"]
        assert entry["config_digest"] == result["config_digest"] and entry["status"] == "finished"


def test_tensorboard_shows_a_row_of_hparams_with_true_figures_for_each_job(swept):
    table, jobs = HParams(folder_of(swept)), record_of(swept)["jobs"]
    assert set(table.rows) == {f"{entry['name']}/tensorboard" for entry in jobs}
    for entry in jobs:
        row = f"{entry['name']}/tensorboard"
        shown, result = table.metrics(row), entry["result"]
        for part in ("test", "fresh"):
            for figure in ("accuracy", "nll"):
                assert shown[f":{part}/{figure}"] == (pytest.approx(result[part][figure], rel=1e-6), result["steps"])
        hparams = table.rows[row].hparams
        for key, value in entry["swept"].items():
            assert hparams[key].number_value == value


def test_a_sweep_of_one_job_and_two_jobs_of_one_config(tmp_path):
    assert sweep(tmp_path, "launcher=inline", "seed=3") == 0
    assert sweep(tmp_path, "launcher=inline", "seed=3,3,4", "figures=none,map") == 0
    jobs = record_of(tmp_path)["jobs"]
    assert sorted(job["result"]["seed"] for job in jobs) == [3, 4]
    assert len(list(folder_of(tmp_path).glob("*/result.json"))) == 2


def test_jobs_that_cannot_stack_run_as_groups_of_their_own(tmp_path):
    words = ["launcher=inline", "model.activation=relu,tanh", "optimizer=adam,sgd"]
    assert sweep(tmp_path, *words) == 0
    members = [json.loads(path.read_text())["members"] for path in folder_of(tmp_path).glob("*/manifest.json")]
    assert members == [1] * 4 and len(set(states_of(tmp_path).values())) == 4


def test_members_may_have_settings_noise_and_data_of_their_own(tmp_path):
    words = ["optimizer.lr=1e-3,1e-2", "data.noise=0.1,0.2", "data.seed=1,2"]
    assert sweep(tmp_path, "launcher=inline", *words) == 0
    assert {json.loads(path.read_text())["members"] for path in folder_of(tmp_path).glob("*/manifest.json")} == {8}
    for name, values in (
        ("a", ["optimizer.lr=1e-2", "data.noise=0.2", "data.seed=1"]),
        ("b", ["optimizer.lr=1e-3", "data.noise=0.1", "data.seed=2"]),
    ):
        assert main(["train", *SMALL, *values, f"paths.logs={tmp_path}", f"name={name}"]) == 0
    alone = [json.loads((tmp_path / "train" / name / "result.json").read_text())["state_sha256"] for name in "ab"]
    assert alone == [states_of(tmp_path)["0.01 0.2 1"], states_of(tmp_path)["0.001 0.1 2"]]


def test_a_study_that_trains_nothing_runs_job_by_job_and_is_resumed(tmp_path):
    words = ["figures=[]", "input.current_ma=1.0,1.5"]
    assert sweep(tmp_path, *words, command="lif", small=False) == 0
    before = {path: path.stat().st_mtime_ns for path in folder_of(tmp_path).glob("*/result.json")}
    assert len(before) == 2
    assert sweep(tmp_path, "figures=[]", "input.current_ma=1.0,1.5,2.0", command="lif", small=False) == 0
    assert len(record_of(tmp_path)["jobs"]) == 3
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())


def test_a_wrong_value_stops_the_sweep_before_anything_is_made(tmp_path, capsys):
    assert sweep(tmp_path, "seed=0,1", "model.width=4,abc") == 2
    line = capsys.readouterr().err.strip()
    assert "model.width" in line and "abc" in line and "\n" not in line
    assert not list(tmp_path.rglob("config.yaml"))


def test_values_that_are_wrong_only_together_are_refused_in_one_line(tmp_path, capsys):
    assert sweep(tmp_path, "data.points_per_arm=60,4", "data.batch_size=8,100") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert "data.batch_size must be <= " in lines[-1] and not list(tmp_path.iterdir())


def test_a_name_or_a_folder_that_a_sweep_would_not_use_is_refused(tmp_path, capsys):
    for word, part in [
        ("name=first", "folder is named by sweep=NAME"),
        ("hydra.sweep.dir=/x", "both name the sweep's folder"),
    ]:
        assert sweep(tmp_path, "seed=0,1", word) == 2
        assert part in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_with_odd_letters(tmp_path):
    logs = tmp_path / "it's, a=folder $x"
    assert (
        main(
            [
                "train",
                "-m",
                *SMALL,
                "launcher=inline",
                f"paths.logs='{str(logs)}'".replace("it's", "it\\'s"),
                "sweep=s",
                "seed=0,1",
            ]
        )
        == 0
    )
    assert len(list((logs / "sweep" / "s").glob("*/result.json"))) == 2


def test_hydras_basic_launcher_works_into_the_same_folder(tmp_path, capfd):
    assert sweep(tmp_path, "hydra/launcher=basic", "seed=0,1") == 0
    assert len(list(folder_of(tmp_path).glob("*/result.json"))) == 2
    assert sweep(tmp_path, "launcher=inline", "seed=0,1,2") == 0, "what it made counts as done"
    assert len(list(folder_of(tmp_path).glob("*/result.json"))) == 3
    capfd.readouterr()
    assert sweep(tmp_path, "hydra/launcher=basic", "seed=5", "data.points_per_arm=4", "data.batch_size=100") == 2
    assert len(capfd.readouterr().err.strip().splitlines()) == 1


class Stream:
    def __init__(self, live):
        self.text, self.isatty = "", lambda: live
        self.flush = lambda: None

    def write(self, text):
        self.text += text


def show(display, done, jobs=1000, final=False):
    name = "seed0001-" * 12
    display.show(
        groups=(done // 10, 100),
        jobs=jobs,
        done=done,
        running=16,
        failed=done // 3,
        best=(0.0123, name),
        share=done / jobs,
        final=final,
    )


def test_lines_are_80_columns_and_do_not_flood_a_file():
    stream = Stream(live=False)
    display = Display(stream)
    for done in range(1000):
        display.composing(done, 1000)
        show(display, done)
    show(display, 1000, final=True)
    lines = stream.text.splitlines()
    assert len(lines) <= 4 and all(len(line) < 80 for line in lines)
    assert "jobs 1000/1000" in lines[-1] and "333 failed" in lines[-1] and "best NLL 0.0123" in lines[-1]


def test_a_terminal_gets_one_line_that_is_written_over():
    stream = Stream(live=True)
    display = Display(stream)
    show(display, 500)
    display._last -= 1
    show(display, 510)
    show(display, 1000, final=True)
    assert stream.text.count("\n") == 1 and stream.text.count("\r") == 3 and "left" in stream.text


def test_the_time_left_is_said():
    stream = Stream(live=False)
    display = Display(stream)
    display._start -= 30
    show(display, 250)
    assert re.search(r"\b1:3\d left", stream.text)


def test_processes_are_one_per_physical_core_by_default():
    import os

    assert 1 <= Processes().workers <= len(os.sched_getaffinity(0)) and Processes(7).workers == 7
