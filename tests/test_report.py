"""The report from the command line: its files, its words, its speed, and what it says to bad folders."""

import csv
import json
import math
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from speed import slowness
from sweep_folders import make_sweep, read_record, result, write_map, write_record, write_run

from mlplab.cli.app import main
from mlplab.report import csv as csv_of
from mlplab.report import words
from mlplab.report.joining import build
from mlplab.runs.sweep_folder import read_sweep

FILES = ("sweep.csv", "runs.csv", "seconds.csv", "sweep.md", "report.html")


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_files_hold_the_table(tmp_path, capsys):
    folder = make_sweep(tmp_path / "s", maps=True)
    assert main(["report", str(folder)]) == 0
    assert all((folder / name).is_file() for name in FILES)
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {
        f"{n}.png" for n in ("heat_map", "against_parameters", "decision_maps", "learning_curves", "ranking")
    }
    rows = rows_of(folder / "sweep.csv")
    assert [(row["model.width"], row["model.depth"]) for row in rows] == [
        ("16", "1"),
        ("16", "2"),
        ("32", "1"),
        ("32", "2"),
    ]
    values = [job["result"]["test"]["nll"] for job in read_record(folder)["jobs"][:3]]
    assert float(rows[0]["test/nll/mean"]) == pytest.approx(np.mean(values), rel=1e-14)
    assert float(rows[0]["log_nll/mean"]) == pytest.approx(np.mean(np.log(values)), rel=1e-12)
    assert [row["selected"] for row in rows].count("true") == 1
    runs = rows_of(folder / "runs.csv")
    assert len(runs) == 12 and {row["seed"] for row in runs} == {"0", "1", "2"}
    assert rows_of(folder / "seconds.csv")[0]["fit_seconds/mean"] == "1.5"
    text = (folder / "sweep.md").read_text()
    assert text.count("\n| ") == 6 and "★" in text and "figures/heat_map.png" in text
    screen = capsys.readouterr().out
    assert "★  width=32 depth=2" in screen and "report.html" in screen


def test_lines_of_the_table_on_the_screen_fit_80_columns(tmp_path, capsys):
    folder = tmp_path / "a-folder-with-quite-a-long-name"
    for number in range(20):
        write_run(
            folder / f"r{number}",
            result(0.01 * number + 0.01, parameters=10**9 + number),
            hidden=f"[{','.join(['100'] * (number + 1))}]",
            noise=0.123456789,
        )
    assert main(["report", str(folder)]) == 0
    table = capsys.readouterr().out.split("\n\n")[0].splitlines()
    table = [line for line in table if not line.startswith("note:")]
    assert max(map(len, table)) <= 80 and any("…" in line for line in table)
    assert "   and 8 more" in table


def test_the_ends_of_names_that_tell_settings_apart_stay_on_the_screen(tmp_path, capsys):
    for number in range(24):
        seed, depth, epochs = number % 2, number // 2 % 3 + 1, 10 * (number // 6 + 1)
        made = result(0.1 / depth + 0.001 * epochs + 0.0001 * seed, seed=seed)
        write_run(
            tmp_path / "s" / f"r{number}",
            made,
            width=64 + depth,
            depth=epochs,
            epochs=epochs // 10,
            seed=seed,
            noise=0.125 * (number // 12 + 1),
        )
    assert main(["report", str(tmp_path / "s")]) == 0
    table = capsys.readouterr().out.split("\n\n")[0].splitlines()
    table = [line for line in table if not line.startswith("note:")]
    assert max(map(len, table)) <= 80 and not any("…" in line for line in table)
    assert "parameters" not in table[0] and table[0].endswith("validation NLL")  # what selects is always told
    assert sum("max_epochs=" in line for line in table) == 9  # of four keys the usual value is left out


def test_a_report_twice_or_with_other_times_has_the_same_bytes(tmp_path, capsys):
    folder = make_sweep(tmp_path / "s")
    main(["report", str(folder)])
    first = {name: (folder / name).read_bytes() for name in ("sweep.csv", "runs.csv")}
    pictures = {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}
    jobs = read_record(folder)["jobs"]
    for job in jobs:
        job["result"]["seconds"] = {"fit": 99.0, "total": 100.0}
    write_record(folder, jobs[::-1], command=["again"])
    main(["report", str(folder)])
    assert first == {name: (folder / name).read_bytes() for name in first}
    assert pictures == {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}
    assert "99.0" in (folder / "seconds.csv").read_text()
    capsys.readouterr()


def test_cells_read_back_to_the_same_bits():
    for value in (0.1, 1 / 3, 1e-300, math.pi, 7):
        assert float(csv_of.cell(value)) == value
    assert [csv_of.cell(value) for value in (None, True, "x")] == ["", "true", "x"]


class TestWhere:
    def test_several_folders_go_into_one_of_their_own(self, tmp_path, capsys):
        one, two = (make_sweep(tmp_path / "logs/k/a", widths=(16,)), make_sweep(tmp_path / "logs/k/b", widths=(32,)))
        assert main(["report", str(one), str(two)]) == 0
        (made,) = (tmp_path / "logs" / "report").iterdir()
        assert made.name.startswith("a-b-") and len(rows_of(made / "sweep.csv")) == 4
        assert main(["report", str(one), str(two)]) == 0
        assert list((tmp_path / "logs" / "report").iterdir()) == [made]
        assert not (one / "sweep.csv").exists()
        capsys.readouterr()

    def test_paths_logs_is_heeded(self, tmp_path, capsys):
        folder = make_sweep(tmp_path / "s")
        assert main(["report", str(folder), f"paths.logs={tmp_path / 'elsewhere'}"]) == 0
        (made,) = (tmp_path / "elsewhere" / "report").iterdir()
        assert (made / "sweep.csv").is_file() and not (folder / "sweep.csv").exists()
        capsys.readouterr()

    def test_a_relative_folder_and_an_equals_sign_in_its_name(self, tmp_path, capsys, monkeypatch):
        make_sweep(tmp_path / "width=16")
        monkeypatch.chdir(tmp_path)
        assert main(["report", "width=16"]) == 0
        assert (tmp_path / "width=16" / "sweep.csv").is_file()
        assert "width=16/sweep.md" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "must be given a sweep folder"),
        (["absent"], "no such folder"),
        (["empty"], "holds no runs"),
        (["run"], "single run"),
        (["good", "good/"], "given once"),
        (["good", "path.logs=x"], "did you mean paths.logs?"),
        (["good", "--fast"], "takes no flags"),
        (["good", "paths.logs=file"], "cannot make"),
        (["damaged"], "not JSON"),
    ],
)
def test_bad_words_are_answered_in_one_line(tmp_path, capsys, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    make_sweep(tmp_path / "good")
    write_run(tmp_path / "run", result(0.1))
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "sweep.json").write_text("{")
    (tmp_path / "file").write_text("")
    assert main(["report", *argv]) == 2
    out, err = capsys.readouterr()
    assert message in err and err.startswith("mlplab: ") and err.count("\n") == 1 and out == ""


def test_help_names_the_words(capsys):
    assert main(["report", "--help"]) == 0
    assert "report SWEEP [SWEEP ...]" in capsys.readouterr().out


def spoil_record(folder):
    (folder / "sweep.json").write_text("{")


def spoil_results(folder):
    (folder / "sweep.json").unlink()
    for path in sorted(folder.glob("*/result.json"))[::2]:
        path.write_text("[]")


def spoil_maps(folder):
    for number, path in enumerate(sorted(folder.glob("*/figures/arrays.npz"))):
        path.write_bytes([b"", b"PK\x03\x04 no", path.read_bytes()[:500]][number % 3])


def spoil_shapes(folder):
    for path in folder.glob("*/figures/arrays.npz"):
        np.savez(path, map=np.zeros((3, 3)), extent=np.zeros(7))


def spoil_curves(folder):
    for path in folder.glob("*/metrics.csv"):
        path.write_bytes(b"epoch,val/nll\n\xff,2\n")


def spoil_folders(folder):
    for path in folder.glob("width*"):
        shutil.rmtree(path)


def spoil_numbers(folder):
    jobs = read_record(folder)["jobs"]
    for job in jobs[::3]:
        job["result"]["fresh"] = None
    jobs[1]["result"]["validation"]["nll"] = 0.0
    jobs[2]["result"]["test"]["accuracy"] = 1.0
    write_record(folder, jobs)


@pytest.mark.parametrize(
    "spoil", [spoil_record, spoil_results, spoil_maps, spoil_shapes, spoil_curves, spoil_folders, spoil_numbers]
)
def test_damage_costs_what_is_damaged_and_no_more(tmp_path, capsys, spoil):
    folder = make_sweep(tmp_path / "s", maps=True)
    spoil(folder)
    assert main(["report", str(folder)]) == 0
    assert len(rows_of(folder / "sweep.csv")) == 4
    assert "Traceback" not in capsys.readouterr().err


def test_failures_are_listed_with_their_folders(tmp_path, capsys):
    folder = make_sweep(tmp_path / "s")
    jobs = read_record(folder)["jobs"]
    jobs[0] |= {"status": "failed", "error": "ValueError: boom | <b>", "result": None}
    jobs[5] |= {"status": "missing", "result": None}
    shutil.rmtree(folder / jobs[5]["name"])
    write_record(folder, jobs)
    assert main(["report", str(folder)]) == 0
    text, page = (folder / "sweep.md").read_text(), (folder / "report.html").read_text()
    for name in (jobs[0]["name"], jobs[5]["name"]):
        assert name in text and name in page
    assert "1 failed" in text and "boom \\| &lt;b>" in text and "boom | \\u003cb>" in page and "<b>" not in page
    assert "2 runs of 12 without a result" in capsys.readouterr().out


def test_a_sweep_without_results_says_so(tmp_path, capsys):
    folder = make_sweep(tmp_path / "s")
    jobs = read_record(folder)["jobs"]
    for job in jobs:
        job |= {"status": "failed", "error": "boom", "result": None}
    write_record(folder, jobs)
    assert main(["report", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "No run has finished yet" in out and "figures/" not in out
    assert not (folder / "figures").exists()


def test_figures_of_an_earlier_report_that_are_out_of_date_go(tmp_path, capsys):
    folder = make_sweep(tmp_path / "s")
    (folder / "figures").mkdir()
    for name in ("decision_maps.png", "against_noise.png", "my_own.png"):
        (folder / "figures" / name).write_bytes(b"")
    main(["report", str(folder)])
    names = {path.name for path in (folder / "figures").iterdir()}
    assert "decision_maps.png" not in names and "against_noise.png" not in names and "my_own.png" in names
    capsys.readouterr()


def test_the_page_is_whole_and_fetches_nothing(tmp_path, capsys):
    folder = make_sweep(tmp_path / "s<i>", maps=True)
    main(["report", str(folder)])
    capsys.readouterr()
    text = (folder / "report.html").read_text()
    assert "<title>Sweep s&lt;i&gt;</title>" in text and "<i>" not in text
    assert not re.search(r"https?://|src=|@import|fetch\(", text)
    told = json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)[1])
    assert told["keys"] == ["model.width", "model.depth"] and len(told["rows"]) == 4
    best = told["rows"][0]
    assert best["best"] and best["label"] == "width=32 depth=2" and len(best["runs"]) == 3
    assert best["command"].startswith("scripts/lab train -m") and "seed=0,1,2" in best["command"]


def test_words_about_the_best(tmp_path):
    table = build([read_sweep(make_sweep(tmp_path / "s", seeds=range(4)))])
    lines = " ".join(words.lead(table))
    assert "4 settings, 16 runs, of which 16 finished." in lines
    assert "Selected setting: width=32 depth=2" in lines and "Bayes limit 98.86 %" in lines
    alone = build([read_sweep(make_sweep(tmp_path / "t", widths=(8,), depths=(1,)))])
    assert "nothing to compare it with" in " ".join(words.lead(alone))


def test_noise_has_no_best_and_its_limit_follows_it(tmp_path, capsys):
    for noise in (0.04, 0.16, 0.64):
        for seed in range(3):
            made = result(noise / 4 * (1 + 0.01 * seed), seed=seed)
            for part in ("test", "fresh", "validation", "train"):
                made[part] = made[part] | {"bayes_nll": noise / 2}
            folder = tmp_path / "s" / f"{noise}-{seed}"
            write_run(folder, made, noise=noise, seed=seed)
            write_map(folder)
    assert main(["report", str(tmp_path / "s")]) == 0
    assert "★" not in capsys.readouterr().out
    assert (tmp_path / "s" / "figures" / "against_noise.png").is_file()


def test_a_report_of_1000_runs_is_fast_and_imports_neither_torch_nor_hydra(tmp_path):
    """Two seconds is the promise for an idle core; the suite allows for a busy machine by processor time."""
    folder = make_sweep(
        tmp_path / "s", widths=(8, 16, 32, 64, 128), depths=(1, 2, 3, 4, 5), seeds=range(40), maps=False
    )
    for path in sorted(folder.glob("*seed0000*")):
        write_map(path, 128)
    code = (
        "import sys, time; from mlplab.cli.app import main; code = main(sys.argv[1:]);"
        "names = [n for n in ('torch', 'hydra', 'omegaconf', 'lightning', 'scipy') if n in sys.modules];"
        "print(code, names, time.process_time())"
    )
    done = subprocess.run([sys.executable, "-c", code, "report", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("0 [] "), last
    assert float(last.split()[-1]) < 4.0 * slowness()
    assert json.loads((folder / "sweep.json").read_text())["jobs"][999]
