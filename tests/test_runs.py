"""Runs listed, found, sorted and cleaned up, from folders alone."""

import json
import os
import shutil
import socket
import subprocess
import time

import pytest
import yaml
from speed import slowness
from sweep_folders import result, write_record, write_run

import mlplab
from mlplab.cli.app import main
from mlplab.config.composition import compose_all
from mlplab.errors import InputError
from mlplab.runs import listing, manifest
from mlplab.runs.clean import removable, remove
from mlplab.runs.files import Unusual, flatten, read_flat, split_blocks, unflatten
from mlplab.runs.find import find_run, find_sweep
from mlplab.runs.index import FILE, Index, folder_bytes
from mlplab.runs.names import Defaults, label, run_name, shape_of
from mlplab.words import conf_folder, front_door


@pytest.fixture
def logs(tmp_path):
    """Five runs: two finished, one failed, one interrupted, one diverged; the sweep has two of its own."""
    for number, (width, error, status) in enumerate(
        [
            (16, 0.1, "finished"),
            (32, 0.05, "finished"),
            (64, None, "failed"),
            (8, None, "interrupted"),
            (4, 0.9, "diverged"),
        ]
    ):
        record = None if error is None else result(error, config_digest=f"{number:064x}", status=status)
        folder = tmp_path / "logs" / "train" / f"spiral-{width}-seed0-{number:08x}"
        words = "Traceback\n  File\nRuntimeError: out of luck" if status == "failed" else None
        write_run(folder, record, width=width, status=status, error=words)
        for file in (folder / "config.yaml", folder / "status.json", folder):
            os.utime(file, (1000 + number, 1000 + number))
        if record:
            os.utime(folder / "result.json", (1000 + number, 1000 + number))
    jobs = []
    for seed in (0, 1):
        digest = f"{100 + seed:064x}"
        name = f"seed000{seed}-{digest[-8:]}"
        write_run(
            tmp_path / "logs" / "sweep" / "seeds-1" / name, result(0.2, seed=seed, config_digest=digest), seed=seed
        )
        jobs.append({"name": name, "swept": {"seed": seed}, "config_digest": digest, "status": "finished"})
    write_record(tmp_path / "logs" / "sweep" / "seeds-1", jobs)
    return tmp_path / "logs"


def index_of(logs):
    return Index(logs, conf_folder())


def test_the_line_for_an_extra_names_the_very_environment(monkeypatch):
    import sys
    from pathlib import Path

    from mlplab.words import pip_line

    monkeypatch.chdir(Path(sys.executable).parent.parent)
    assert pip_line("search") == f"bin/{Path(sys.executable).name} -m pip install 'mlplab[search]'"
    monkeypatch.chdir("/")
    assert pip_line("ray").endswith("-m pip install 'mlplab[ray]'") and Path(sys.executable).name in pip_line("ray")


@pytest.mark.parametrize(
    ("overrides", "changes"),
    [
        ([], {}),
        (["data.noise=0.3", "model.activation=tanh"], {"data.noise": 0.3, "model.activation": "tanh"}),
        (["data=moons"], {"data": "moons"}),
        (["optimizer=adamw", "seed=3"], {"seed": 3, "optimizer": "adamw"}),
        (["data.order_seed=5"], {"data.order_seed": 5}),
        (["callbacks=early_stopping"], {"callbacks": "early_stopping"}),
        (["callbacks=early_stopping", "callbacks.early_stopping.patience=3"], {"callbacks.early_stopping.patience": 3}),
        (
            ["+callbacks.average._target_=lightning.pytorch.callbacks.StochasticWeightAveraging"]
            + ["+callbacks.average.swa_lrs=0.01"],
            {
                "callbacks.average": "lightning.pytorch.callbacks.StochasticWeightAveraging",
                "callbacks.average.swa_lrs": 0.01,
            },
        ),
        (["callbacks.progress=null"], {}),
    ],
)
def test_changes_are_told_from_the_defaults(overrides, changes):
    found = Defaults(conf_folder()).changes(flatten(plain(overrides)))
    assert {key: found.get(key) for key in changes} == changes
    assert not changes or set(changes) <= set(found) and len(found) <= len(changes) + 3


def plain(overrides, study="train"):
    from omegaconf import OmegaConf

    return OmegaConf.to_container(compose_all(study, overrides).config)


@pytest.mark.parametrize("study", ["train", "lif", "relu_approximation"])
def test_the_default_of_every_study_changes_nothing_and_is_told_from_the_others(study):
    flat = flatten(plain([], study))
    defaults = Defaults(conf_folder())
    assert defaults.study_of(flat) == study
    assert defaults.changes(flat) == {}


def test_every_value_can_be_had_back_from_the_changes():
    flat = flatten(plain(["data=moons", "data.noise=0.2", "optimizer=sgd", "model.width=7", "seed=4"]))
    defaults = Defaults(conf_folder())
    changed = defaults.changes(flat)
    for key, value in flat.items():
        if not key.startswith(("callbacks", "logger", "launcher", "paths")):
            found = defaults.value(key, changed, "train")
            assert found == value or float(found) == value, key


def test_a_class_of_ones_own_counts_with_all_its_keys():
    flat = flatten(plain([])) | {"model._target_": "mine.Net", "model.blocks": 3}
    found = Defaults(conf_folder()).changes({key: value for key, value in flat.items() if key != "model.width"})
    assert found["model"] == "Net" and found["model.blocks"] == 3


def test_a_name_says_what_was_changed():
    of_file = {"data": "file", "data.path": "/a b/my iris.v2.csv", "data.file_sha256": "0" * 64, "optimizer.lr": 0.1}
    assert label(of_file) == "data=myiris.v2 lr=0.1"
    assert "a b" not in run_name(["file"], of_file, "8", 0, "f" * 64)
    changed = {"data.noise": 0.3, "model.activation": "tanh"}
    assert run_name(["spiral"], changed, "128", 0, "1a2b3c4d" * 8) == "spiral-128-noise0.3-tanh-seed0-1a2b3c4d"


@pytest.mark.parametrize("count", [0, 1, 5, 40])
@pytest.mark.parametrize("longest", [40, 80])
def test_a_name_is_never_too_long_and_counts_what_it_leaves_out(count, longest):
    changed = {f"group.some_long_key{k:02}_": k for k in range(count)}
    name = run_name(["spiral"], changed, "128", 0, "1a2b3c4d" * 8, longest)
    assert len(name) <= longest and name.endswith("-seed0-1a2b3c4d")
    told = sum(f"some_long_key{k:02}_" in name for k in range(count))
    assert told == count or f"and{count - told}more" in name


def test_shapes():
    assert shape_of({"hidden": None, "width": 8, "depth": 2}) == "8x8"
    assert shape_of({"hidden": [100, 10, 5]}) == "100x10x5"
    assert shape_of({"hidden": []}) == "linear"
    assert shape_of({"hidden": None, "width": 8, "depth": 20}) == "8-depth20"
    assert shape_of({"width": 3}) is None


def test_labels():
    assert label({}) == "defaults"
    assert label({"seed": 2, "data": "moons", "model.width": 64, "data.seed": 1}) == "moons width=64 data.seed=1 seed=2"


def test_runs_are_listed_newest_first_with_their_states(logs):
    runs = index_of(logs).runs()
    assert len(runs) == 7
    assert [run.time for run in runs] == sorted((run.time for run in runs), reverse=True)
    states = {run.name.split("-")[1]: (run.status, run.error) for run in runs if run.parent == "train"}
    assert states["64"] == ("failed", "RuntimeError: out of luck")
    assert states["8"] == ("interrupted", None) and states["4"][0] == "diverged"
    assert [run.changed["model.width"] for run in runs if run.name.startswith("spiral-16")] == [16]


def test_the_index_is_a_cache_and_never_the_truth(logs):
    first = index_of(logs).runs()
    assert (logs / FILE).is_file()
    assert index_of(logs).runs() == first
    folder = logs / "train" / next(run.name for run in first if run.status == "failed")
    write = dict(json.loads((folder / "status.json").read_text()), status="interrupted", error=None)
    (folder / "new.json").write_text(json.dumps(write))
    os.replace(folder / "new.json", folder / "status.json")
    states = [run.status for run in index_of(logs).runs()]
    assert "failed" not in states and states.count("interrupted") == 2
    moved = logs / "elsewhere"
    moved.mkdir()
    folder.rename(moved / "renamed")
    assert {run.path for run in index_of(logs).runs()} >= {"elsewhere/renamed"}
    assert len(index_of(logs).runs()) == 7


@pytest.mark.parametrize("damage", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 200])
def test_a_damaged_index_is_made_anew(logs, damage):
    first = index_of(logs).runs()
    (logs / FILE).write_bytes(damage)
    assert index_of(logs).runs() == first == index_of(logs).runs()


def test_a_folder_that_cannot_be_written_is_listed_all_the_same(logs):
    os.chmod(logs, 0o500)
    try:
        assert len(index_of(logs).runs()) == 7
    finally:
        os.chmod(logs, 0o700)


def test_other_defaults_make_the_index_anew(logs, tmp_path):
    import shutil

    shutil.copytree(conf_folder(), tmp_path / "conf")
    before = {run.path: run.changed for run in Index(logs, tmp_path / "conf").runs()}
    text = (tmp_path / "conf" / "model" / "mlp.yaml").read_text().replace("width: 128", "width: 16")
    (tmp_path / "conf" / "model" / "mlp.yaml").write_text(text)
    after = {run.path: run.changed for run in Index(logs, tmp_path / "conf").runs()}
    path = next(path for path in before if "spiral-16-" in path)
    assert before[path]["model.width"] == 16 and "model.width" not in after[path]


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"status": "failed"}, 1),
        ({"status": "failed,interrupted"}, 2),
        ({"model.width": "16"}, 3),
        ({"width": "16,32"}, 4),
        ({"data": "spiral"}, 7),
        ({"data": "moons"}, 0),
        ({"noise": "1.6e-1"}, 7),
        ({"sweep": "seeds-1"}, 2),
        ({"experiment": "train"}, 5),
        ({"name": "spiral-*"}, 5),
        ({"seed": "1"}, 1),
    ],
)
def test_filters(logs, filters, count):
    index = index_of(logs)
    assert len(listing.choose(index.runs(), filters, index)) == count


@pytest.mark.parametrize(("filters", "hint"), [({"widht": "3"}, "width"), ({"status": "finishd"}, "finished")])
def test_a_filter_that_is_none_is_answered_with_the_nearest(logs, filters, hint):
    index = index_of(logs)
    with pytest.raises(InputError, match=f"did you mean {hint}"):
        listing.choose(index.runs(), filters, index)


@pytest.mark.parametrize(
    ("key", "first"),
    [
        ("nll", "spiral-32"),
        ("accuracy", "spiral-32"),
        ("-accuracy", "spiral-4"),
        ("width", "spiral-4"),
        ("-width", "spiral-64"),
    ],
)
def test_sorting_begins_with_what_is_looked_for(logs, key, first):
    index = index_of(logs)
    assert listing.sort(index.runs(), key, index)[0].name.startswith(first)


def test_the_table_keeps_to_its_width(logs):
    index = index_of(logs)
    runs = index.runs()
    index.measure(runs)
    for width in (60, 80, 120):
        assert max(map(len, listing.table(runs, index, width=width))) <= width
    text = "\n".join(listing.table(runs, index))
    assert "failed: RuntimeError: o" in text and "95.00 %" in text


def test_the_best_runs_show_what_they_are_ordered_by(logs, capsys):
    assert main(["runs", "best", f"paths.logs={logs}"]) == 0
    head, *rows = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert "validation NLL" in head
    start, end = head.index("validation NLL"), head.index("validation NLL") + len("validation NLL")
    shown = [float(row[start:end]) for row in rows if row[start:end].strip().replace(".", "").isdigit()]
    assert len(shown) == 4 and shown == sorted(shown)
    assert main(["runs", f"paths.logs={logs}", "sort=seconds"]) == 0
    assert " seconds " in capsys.readouterr().out.splitlines()[0]


def test_sizes_are_those_of_the_files(logs):
    index = index_of(logs)
    runs = index.runs()
    index.measure(runs)
    for run in runs:
        expected = sum(path.stat().st_size for path in (logs / run.path).rglob("*") if path.is_file())
        assert run.bytes == expected == folder_bytes(logs / run.path)


def test_records_read_back_from_csv_and_json(logs):
    import csv
    import io

    index = index_of(logs)
    rows = listing.records(index.runs(), index)
    assert json.loads(listing.as_json(rows)) == rows
    back = list(csv.DictReader(io.StringIO(listing.as_csv(rows))))
    assert [float(row["fresh/nll"]) for row in back if row["fresh/nll"]] == [
        row["fresh/nll"] for row in rows if row["fresh/nll"] is not None
    ]


def test_a_run_is_found_by_folder_name_digits_last_and_best(logs):
    index = index_of(logs)
    folder = logs / "train" / "spiral-32-seed0-00000001"
    for word in (str(folder), folder.name, "00000001", f"train/{folder.name}", "best"):
        assert find_run(word, index).resolve() == folder
    assert find_run("last", index) == logs / index.runs()[0].path
    shutil.copytree(folder, logs / "reproduce" / folder.name)
    assert find_run("00000001", index_of(logs)) == folder  # before those that repeat it
    shutil.copytree(folder, logs / "sweep/one/spiral-9-seed0-00000099")
    shutil.copytree(folder, logs / "sweep/two/spiral-9-seed0-00000099")
    with pytest.raises(InputError, match="names 2 runs: .*; give its folder"):
        find_run("00000099", index_of(logs))
    for word, reason in (
        ("0000", "names"),
        ("spiral-33-seed0-00000001", "did you mean spiral-3"),
        (str(logs), "no config.yaml"),
    ):
        with pytest.raises(InputError, match=reason):
            find_run(word, index)


def test_a_sweep_is_found_by_folder_name_and_last(logs):
    folder = logs / "sweep" / "seeds-1"
    for word in (str(folder), "seeds-1", "sweep/seeds-1", "last"):
        assert find_sweep(word, logs) == folder
    with pytest.raises(InputError, match="did you mean seeds-1"):
        find_sweep("seeds-2", logs)
    with pytest.raises(InputError, match="no sweep"):
        find_sweep("last", logs / "train")


def test_clean_removes_failed_interrupted_and_superseded_alone(logs):
    for number, when in ((7, 500), (8, 2000)):
        folder = logs / "train" / f"again-{number}"
        write_run(folder, result(0.05, config_digest=f"{1:064x}"), width=32)
        os.utime(folder / "result.json", (when, when))
    for folder in (logs / "train").iterdir():
        (folder / "manifest.json").write_text(json.dumps({"data_sha256": "d"}))
    index = index_of(logs)
    chosen = removable(index.runs(), logs, ["failed", "interrupted", "superseded"])
    assert {removal.run.name.partition("-seed")[0]: removal.reason for removal in chosen} == {
        "spiral-64": "failed",
        "spiral-8": "interrupted",
        "spiral-32": "superseded",
        "again-7": "superseded",
    }
    assert all(remove(removal, logs) for removal in chosen)
    assert len(index_of(logs).runs()) == 5
    with pytest.raises(InputError, match="did you mean failed"):
        removable([], logs, ["faild"])


def test_other_data_supersede_nothing(logs):
    folder = logs / "train" / "again"
    write_run(folder, result(0.05, config_digest=f"{1:064x}"), width=32)
    for path in (logs / "train").iterdir():
        (path / "manifest.json").write_text(json.dumps({"data_sha256": path.name}))
    assert not removable(index_of(logs).runs(), logs, ["superseded"])


def test_a_copy_elsewhere_supersedes_nothing(logs):
    """Neither the run that `reproduce` made nor a sweep's job takes an original away."""
    for place in ("reproduce", "sweep/depths"):
        folder = logs / place / "copy"
        write_run(folder, result(0.05, config_digest=f"{1:064x}"), width=32)
        os.utime(folder / "result.json", (9000, 9000))
    for path in (*(logs / "train").iterdir(), logs / "reproduce" / "copy", logs / "sweep" / "depths" / "copy"):
        (path / "manifest.json").write_text(json.dumps({"data_sha256": "d"}))
    assert not removable(index_of(logs).runs(), logs, ["superseded"])


def test_a_run_that_goes_on_is_not_removed(logs):
    from mlplab.runs.manifest import write_status

    removal = removable(index_of(logs).runs(), logs, ["failed"])[0]
    write_status(logs / removal.run.path, "running")
    assert not remove(removal, logs) and (logs / removal.run.path).is_dir()


def test_the_list_names_the_study_of_what_is_no_network_and_an_example_that_can_be_evaluated(logs, capsys):
    trained = "spiral-16-seed0-00000000"
    folder = logs / "lif" / "tutorial-seed0-0000abcd"
    write_run(folder, None)
    (folder / "config.yaml").write_text(yaml.safe_dump(plain([], "lif")))
    (folder,) = (logs / "train").glob(trained)
    os.utime(folder / "result.json")  # the newest of the networks
    assert main(["runs", f"paths.logs={logs}"]) == 0
    told = capsys.readouterr().out
    assert "0000abcd  lif: defaults" in told
    assert f"a command takes a run by its digits, as {front_door()} evaluate 00000000 paths.logs={logs}" in told
    assert max(len(line) for line in told.splitlines() if str(logs) not in line) <= 80


def test_the_command(logs, capsys, monkeypatch):
    assert main(["runs", f"paths.logs={logs}"]) == 0
    out = capsys.readouterr().out
    assert "2/2" in out and "sweep/seeds-1" in out and "regret" in out
    assert main(["runs", "best", f"paths.logs={logs}", "status=finished"]) == 0
    assert "spiral-32-seed0-00000001" in capsys.readouterr().out
    assert main(["runs", f"paths.logs={logs}", "format=json", str(logs / "sweep")]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert main(["runs", "clean", f"paths.logs={logs}"]) == 2
    assert "yes=true" in capsys.readouterr().err
    assert main(["runs", "clean", f"paths.logs={logs}", "yes=true"]) == 0
    assert "removed 2 run folders" in capsys.readouterr().out
    assert main(["runs", "--help"]) == 0 and "scripts/lab runs clean" in capsys.readouterr().out
    for wrong in ("best2", "limit=x", "format=xml", "each=yes"):
        assert main(["runs", f"paths.logs={logs}", wrong]) == 2
        capsys.readouterr()


def test_from_python(logs):
    found = mlplab.runs(logs, status="finished", sort="nll", model__width=[16, 32])
    rows = found.to_dict("records") if hasattr(found, "to_dict") else found
    assert [row["fresh/nll"] for row in rows] == sorted(row["fresh/nll"] for row in rows) and len(rows) == 4


def test_thousands_of_runs_are_read_fast(tmp_path):
    # 2 s for 10,000; a fifth as many here, with room for a busy machine.
    for k in range(2000):
        folder = tmp_path / "train" / f"run-{k:08x}"
        folder.mkdir(parents=True)
        if k == 0:
            write_run(tmp_path / "seed" / "run", result(0.1))
            texts = {
                name: (tmp_path / "seed" / "run" / name).read_text()
                for name in ("config.yaml", "result.json", "status.json")
            }
        for name, text in texts.items():
            (folder / name).write_text(text.replace("seed: 0", f"seed: {k}"))
    begin = time.process_time()
    assert len(index_of(tmp_path).runs()) == 2001
    assert time.process_time() - begin < 1.5 * slowness()


def test_a_list_of_one_run_is_a_csv_too(logs):
    index = index_of(logs)
    rows = listing.records(index.runs()[:1], index)
    assert (
        listing.as_csv(rows).splitlines()[0].split(",") == list(rows[0]) and len(listing.as_csv(rows).splitlines()) == 2
    )
    assert listing.as_csv([]) == "run\n"


def test_the_seconds_of_a_run_are_those_of_its_result(logs):
    index = index_of(logs)
    for run in index.runs():
        record = logs / run.path / "result.json"
        expected = json.loads(record.read_text())["seconds"]["total"] if record.exists() else None
        assert run.metrics.get("seconds") == expected
    folder = logs / "train" / "spiral-16-seed0-00000000"
    for seconds in ({}, None, 3, {"total": "long"}, {"fit": 1.0}):
        shutil.rmtree(folder)
        write_run(folder, result(0.1, config_digest="0" * 64) | {"seconds": seconds}, width=16)
        (run,) = [run for run in index_of(logs).runs() if run.name == folder.name]
        assert "seconds" not in run.metrics


@pytest.mark.parametrize("count", [2, 3])
def test_of_several_sweeps_of_a_name_the_folder_must_be_given(tmp_path, count):
    for number in range(count):
        folder = tmp_path / "logs" / f"kind{number}" / "same"
        folder.mkdir(parents=True)
        write_record(folder, [])
        os.utime(folder / "sweep.json", (1000 + number, 1000 + number))
    with pytest.raises(InputError, match=f"names {count} sweeps"):
        find_sweep("same", tmp_path / "logs")
    assert find_sweep("kind1/same", tmp_path / "logs") == tmp_path / "logs" / "kind1" / "same"
    assert find_sweep("last", tmp_path / "logs") == tmp_path / "logs" / f"kind{count - 1}" / "same"


@pytest.mark.parametrize("before", ["", "# a note\n", "\n  # a note\n\n"])
def test_a_config_is_read_block_by_block_and_nothing_before_them_is_passed_over(tmp_path, before):
    path = tmp_path / "config.yaml"
    path.write_text(f"{before}seed: 3\nmodel:\n  width: 4\n")
    assert read_flat(path) == {"seed": 3, "model.width": 4}
    assert len(split_blocks(path.read_text())) == 2
    for junk in ("- 1\n", "  junk\n", "# a note\n- 1\n", "junk\n"):
        path.write_text(f"{before}{junk}seed: 3\n")
        with pytest.raises(InputError, match="damaged"):
            read_flat(path)
        if junk != "junk\n":  # a block of its own
            with pytest.raises(Unusual):
                split_blocks(path.read_text())


def test_a_value_that_an_option_takes_from_another_key_is_no_change(tmp_path):
    """In conf/data, order_seed is ${seed}: the run's seed there is none of its changes, another value is."""
    path = tmp_path / "config.yaml"
    defaults = Defaults(conf_folder())
    for seed, order in ((3, 3), (3, 4), (0, 0), (4, 3), (0, 3), (3, 0)):
        changed = ({"seed": seed} if seed else {}) | ({"data.order_seed": order} if order != seed else {})
        flat = flatten(plain([f"seed={seed}"])) | {"data.order_seed": order}
        assert defaults.changes(flat) == changed
        path.write_text(yaml.safe_dump(unflatten(flat)))
        assert defaults.read(path) == ("train", changed, seed)


@pytest.mark.parametrize("age_s, is_trusted", [(0.5, False), (1.5, False), (2.5, True), (1000.0, True)])
def test_times_of_the_last_two_seconds_are_not_trusted(logs, monkeypatch, age_s, is_trusted):
    """A file system's clock may be so coarse that a change leaves the time as it was; an older time says that none came."""
    now = time.time()
    monkeypatch.setattr(time, "time_ns", lambda: int(now * 1e9))
    when = now - age_s
    folder = logs / "train"
    config = folder / "spiral-16-seed0-00000000" / "config.yaml"
    for path in (folder, *(config.parent / name for name in ("config.yaml", "status.json", "result.json"))):
        os.utime(path, (when, when))
    assert len(index_of(logs).runs()) == 7
    write_run(folder / "late-seed0-0000000f", None)
    config.write_text(config.read_text().replace("width: 16", "width: 17"))
    for path in (folder, config):
        os.utime(path, (when, when))
    runs = index_of(logs).runs()
    assert len(runs) == 7 + (not is_trusted)
    (run,) = [run for run in runs if run.name == config.parent.name]
    assert run.changed["model.width"] == (16 if is_trusted else 17)


def test_a_run_that_was_killed_long_after_its_last_word_is_told_as_interrupted(logs):
    """What a running run's folder says is not enough: whether its process lives is looked up each time."""
    folder = logs / "train" / "going-seed0-0000000e"
    write_run(folder, None)
    process = subprocess.Popen(["sleep", "600"])
    record = json.loads((folder / "status.json").read_text()) | {"status": "running", "pid": process.pid}
    record |= {"host": socket.gethostname(), "process": manifest._process(process.pid)}
    (folder / "status.json").write_text(json.dumps(record))
    for file in ("config.yaml", "status.json"):
        os.utime(folder / file, (1000, 1000))

    def told():
        return [run.status for run in index_of(logs).runs() if run.name == folder.name]

    assert told() == told() == ["running"]
    process.kill()
    process.wait()
    assert told() == ["interrupted"]
