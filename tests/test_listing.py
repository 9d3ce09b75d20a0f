"""Lists of runs, each word of them by what its docstring says; and what is found by a word."""

import os
from types import SimpleNamespace

import pytest

from mlplab.errors import InputError
from mlplab.runs import listing
from mlplab.runs.find import find_run, find_sweep, run_folder
from mlplab.runs.index import Run, last_line

TRAINED = "".join(
    f"{key}: {{}}\n" for key in ("data", "model", "loss", "optimizer", "schedule", "trainer", "callbacks")
)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 m"),
        (3599, "60 m"),
        (3600, "1 h"),
        (86399, "24 h"),
        (86400, "1 d"),
        (30 * 86400, "30 d"),
    ],
)
def test_ages(seconds, words):
    assert listing.age_words(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (7, "7 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9940, "9.9 kB"),
        (9950, "10 kB"),
        (999_400, "999 kB"),
        (999_500, "1.0 MB"),
        (2_500_000_000, "2.5 GB"),
        (25_000_000_000_000, "25 TB"),
        (10**16, "10000 TB"),
    ],
)
def test_sizes_have_three_digits(count, words):
    assert listing.bytes_words(count) == words


def test_an_nll_has_four_places_until_it_is_large():
    told = [listing.nll_words(value) for value in (None, 0.0, 0.12345, 99.99999, 100, 123456)]
    assert told == ["", "0.0000", "0.1235", "100.0000", "1.0e+02", "1.2e+05"]


@pytest.mark.parametrize(
    ("value", "word", "fits"),
    [
        (3, "3", True),
        (3, "3.0", True),
        (0.001, "1e-3", True),
        (3, "4", False),
        (3, "x", False),
        (True, "true", True),
        (True, "1", False),
        (None, "null", True),
        (None, "None", True),
        ("relu", "relu", True),
        ("relu", "re*", True),
        ("relu", "RE*", False),
        ("torch.optim.Adam", "Adam", True),
        ("torch.optim.Adam", "torch.optim.Adam", True),
        ([16, 8], "[16, 8]", True),
    ],
)
def test_a_value_fits_a_word(value, word, fits):
    assert listing._matches(value, word) == fits


def test_a_list_in_brackets_is_one_word():
    assert listing._split("a,b") == ["a", "b"] and listing._split("[1,2]") == ["[1,2]"] and listing._split("a") == ["a"]


def run(name, changed=(), metrics=(), **more):
    given = {"study": "train", "status": "finished", "error": None, "digest": "d" * 64, "seed": 0, "time": 0.0}
    return Run(path=name, changed=dict(changed), metrics=dict(metrics), **given | more)


INDEX = SimpleNamespace(
    value=lambda run, key: run.changed.get(key),
    defaults=SimpleNamespace(keys=lambda study, changed: [*changed, "model.width"]),
    measure=lambda runs: [setattr(one, "bytes", len(one.path)) for one in runs],
)


def test_the_facts_of_a_run():
    one = run("sweep/seeds/a-00000001", {"k": 5}, {"fresh/nll": 0.5, "test/accuracy": 0.9, "seconds": 3}, time=7.0)
    facts = [listing.fact(one, key, INDEX) for key in listing.FACTS]
    assert facts == ["finished", "train", "sweep", "seeds", "a-00000001", "00000001"]
    alone = run("train/a", digest="abcdef0123456789")
    assert listing.fact(alone, "sweep", INDEX) is None and listing.fact(alone, "experiment", INDEX) == "train"
    assert alone.id == "abcdef01" and run("train/a-1234567").id == "dddddddd" and run("x-12345678").id == "12345678"
    assert (alone.name, alone.parent) == ("a", "train")
    for key, value in {"age": -7.0, "size": None, "nll": 0.5, "accuracy": 0.9, "seconds": 3, "k": 5}.items():
        assert listing.fact(one, key, INDEX) == value
    assert listing.fact(one, "regret", INDEX) is None and listing.fact(one, "validation", INDEX) is None


def order(runs, key):
    return [one.path for one in listing.sort(runs, key, INDEX)]


def test_sorting_by_each_kind_of_key():
    runs = [
        run("a", {"k": 2, "w": "b"}, {"fresh/nll": 0.2, "fresh/accuracy": 0.9, "own": 1.0}, time=1.0),
        run("bb", {"k": 10, "w": "a"}, {"fresh/nll": 0.1, "fresh/accuracy": 0.8, "own": 3.0}, time=3.0),
        run("ccc", {"k": 3, "w": 5}, {"own": 2.0}, time=2.0),
    ]
    assert order(runs, "nll") == ["bb", "a", "ccc"] and order(runs, "-nll") == ["a", "bb", "ccc"]
    assert order(runs, "accuracy") == ["a", "bb", "ccc"] and order(runs, "-accuracy") == ["bb", "a", "ccc"]
    assert order(runs, "own") == ["bb", "ccc", "a"]  # a figure: the highest first
    assert order(runs, "k") == ["a", "ccc", "bb"]  # a key: the lowest first
    assert order(runs, "w") == ["ccc", "bb", "a"]  # numbers before words
    assert order(runs, "age") == ["bb", "ccc", "a"]
    assert order(runs, "size") == ["ccc", "bb", "a"] and order(runs, "-size") == ["a", "bb", "ccc"]
    assert order([], "nothing") == []
    with pytest.raises(InputError, match="sort must be age, size, .* or a key, got nothing"):
        listing.sort(runs, "nothing", INDEX)


def test_choosing_keeps_what_is_asked_for():
    runs = [run("train/a", {"k": 2}), run("train/b", {"k": 3}), run("train/c", {}, status="failed")]

    def chosen(**filters):
        return [one.name for one in listing.choose(runs, filters, INDEX)]

    assert chosen() == ["a", "b", "c"] and chosen(k="2") == ["a"] and chosen(k="2,3") == ["a", "b"]
    assert chosen(k="3", status="finished") == ["b"] and chosen(status="f*") == ["a", "b", "c"]
    assert chosen(k="null") == ["c"] and chosen(width="3") == []  # a key that some config has, if none of these runs
    assert chosen(sweep="x") == []
    with pytest.raises(InputError, match="status must be one of .*, got faild; did you mean failed"):
        chosen(status="faild")
    with pytest.raises(InputError, match="depht is no key of these runs, got depht=3"):
        chosen(depht="3")
    assert listing.choose([], {"depht": "3"}, INDEX) == []


def test_what_three_runs_or_more_changed_alike_is_common():
    runs = [run(name, {"k": 1, "w": number}) for number, name in enumerate("abc")]
    assert listing.common_changes(runs) == {"k": 1} and listing.common_changes(runs[:2]) == {}
    assert [one.label_without({"k": 1}) for one in runs[:1]] == ["w=0"] and runs[0].label == "k=1 w=0"
    assert runs[0].label_without({"k": 1, "w": 0}) == "nothing else" and run("a").label_without({}) == "defaults"


def test_a_table_leaves_out_what_it_has_nothing_of_and_says_why_a_run_has_no_metrics():
    runs = [
        run("train/a-00000001", {"k": 1, "w": 0}, {"fresh/accuracy": 0.951, "fresh/nll": 0.2}, time=40.0),
        run("train/a-00000002", {"k": 1, "w": 1}, status="failed", error="no luck", time=40.0),
        run("train/a-00000003", {"k": 1, "w": 2}, status="interrupted", time=40.0),
    ]
    head, first, second, third, last = listing.table(runs, INDEX, width=90, now=100.0)
    assert head.split("  ")[0] == "run" and "regret" not in head and "size" not in head
    assert "accuracy" in head and "NLL" in head and "95.10 %" in first and "0.2000" in first and "1 m" in first
    assert "failed: no luck" in second and "interrupted" in third and ":" not in third
    assert last == "all of them: k=1"
    runs[0].bytes = 5
    runs[0].metrics["fresh/accuracy_regret"] = 0.0123
    head, first, *_ = listing.table(runs, INDEX, width=90, now=100.0)
    assert "regret" in head and "size" in head and "1.23" in first and "5 B" in first


def test_a_table_has_a_column_of_what_it_is_sorted_by():
    runs = [
        run("train/a", metrics={"fresh/accuracy": 0.951, "validation/nll": 0.25, "parameters": 12345, "own": 1.5}),
        run("train/b", metrics={"fresh/accuracy": 0.5}),
    ]

    def head_and_first(by):
        head, first, second = listing.table(runs, INDEX, by=by, width=100, now=0.0)
        return head.split()[6:], first.split()[2:], second.split()[2:]

    plain = ["accuracy", "age"], ["95.10", "%", "0", "s"], ["50.00", "%", "0", "s"]
    assert head_and_first(None) == head_and_first("accuracy") == head_and_first("width") == plain
    assert head_and_first("validation")[0] == ["validation", "NLL", "accuracy", "age"]
    assert head_and_first("validation/nll")[1:] == (["0.2500", *plain[1]], plain[2])
    assert head_and_first("parameters")[1] == ["1.234e+04", *plain[1]] and head_and_first("own")[1] == [
        "1.5",
        *plain[1],
    ]
    assert listing.metric_words("test/accuracy", 0.5) == "50.00 %" and listing.metric_words("x", None) == ""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (None, None),
        ("", None),
        (" \n ", None),
        ("a", "a"),
        ("Traceback\n  x\nValueError:  no\tluck\n\n", "ValueError: no luck"),
    ],
)
def test_the_last_line_of_an_error(error, line):
    assert last_line(error) == line


# What is found by a word.


def logs_of(tmp_path, *runs):
    return SimpleNamespace(runs=lambda: list(runs), logs=tmp_path)


def test_a_run_is_found_by_its_name_its_place_or_four_of_its_digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = run("train/a-abcd0001"), run("other/b-abcd0002", metrics={"validation/nll": 0.2})
    third = run("train/c-beef0003", metrics={"validation/nll": 0.1}, status="failed")
    index = logs_of(tmp_path, first, second, third)
    for word, one in {
        "a-abcd0001": first,
        "other/b-abcd0002": second,
        "beef": third,
        "abcd0001": first,
        "last": first,
        "best": second,  # of those that finished
    }.items():
        assert find_run(word, index) == tmp_path / one.path
    with pytest.raises(InputError, match="abcd names 2 runs: train/a-abcd0001, other/b-abcd0002; give its folder"):
        find_run("abcd", index)
    many = logs_of(tmp_path, *(run(f"train/x-abcd000{k}") for k in range(4)))
    with pytest.raises(InputError, match=r"abcd names 4 runs: train/x-abcd0000, .*, train/x-abcd0002 \.\.\.; give"):
        find_run("abcd", many)
    for word, runs in (
        ("bee", index),
        ("last", logs_of(tmp_path)),
        ("best", logs_of(tmp_path, first)),
        ("nothing", index),
    ):
        with pytest.raises(InputError, match=f"RUN must be a run folder, .*, got '{word}'"):
            find_run(word, runs)


def test_last_is_the_newest_run_that_the_command_can_take(tmp_path, monkeypatch):
    """After ``lif`` or ``evaluate``, ``evaluate last`` measures the newest network."""
    monkeypatch.chdir(tmp_path)
    logs = tmp_path / "logs"
    for age, (path, config, files) in enumerate(
        [
            ("lif/tutorial", "neuron: {}\ninput: {}\nsimulation: {}\nexplorer: {}\n", ["manifest.json"]),
            ("evaluate/a-abcd0001", TRAINED, []),
            ("train/a-abcd0001", TRAINED, ["manifest.json"]),
        ]
    ):
        folder = logs / path
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(config)
        for name in ["result.json", *files]:
            (folder / name).write_text("{}")
        os.utime(folder / "result.json", (1e9 - age, 1e9 - age))
    assert run_folder("last", logs) == logs / "lif/tutorial"
    assert run_folder("last", logs, "train") == logs / "train/a-abcd0001"
    assert run_folder("last", logs, "lif") == logs / "lif/tutorial"
    for word, why in (
        (str(logs / "lif/tutorial"), "which is one of lif"),
        ("tutorial", "which is one of lif"),
        (str(logs / "evaluate/a-abcd0001"), "an evaluation; give the run that it measured"),
    ):
        with pytest.raises(InputError, match=f"resume must be a run of train here, got {word}, {why}"):
            run_folder(word, logs, "train", key="resume")


def test_the_run_of_train_is_meant_where_others_repeat_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own, copy, other = run("train/a-abcd0001"), run("reproduce/a-abcd0001"), run("sweep/s/a-abcd0002")
    assert find_run("abcd0001", logs_of(tmp_path, copy, own)) == tmp_path / own.path
    for runs in ((copy, run("sweep/s/a-abcd0001")), (own, other), (own, copy, run("train/b-abcd0001"))):
        with pytest.raises(InputError, match="names"):
            find_run("abcd", logs_of(tmp_path, *runs))


@pytest.mark.parametrize("word", ["best", "last"])
def test_a_folder_of_that_name_goes_before_the_logs(tmp_path, monkeypatch, word):
    monkeypatch.chdir(tmp_path)
    (tmp_path / word).mkdir()
    with pytest.raises(InputError, match="it has no config.yaml"):
        find_run(word, logs_of(tmp_path, run("train/a-abcd0001")))
    (tmp_path / word / "config.yaml").touch()
    assert find_run(word, logs_of(tmp_path)).resolve() == tmp_path / word
    with pytest.raises(InputError, match="there is no such folder"):
        find_run(str(tmp_path / "nowhere"), logs_of(tmp_path))


def test_a_sweep_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for when, name in enumerate(("sweep/b", "sweep/a", "other/a")):
        (tmp_path / "logs" / name).mkdir(parents=True)
        (tmp_path / "logs" / name / "sweep.json").touch()
        os.utime(tmp_path / "logs" / name / "sweep.json", (when, when))
    logs = tmp_path / "logs"
    assert find_sweep("b", logs) == logs / "sweep/b" and find_sweep("other/a", logs) == logs / "other/a"
    assert find_sweep("last", logs) == logs / "other/a" and find_sweep("logs", logs).resolve() == logs
    (tmp_path / "last").mkdir()
    assert find_sweep("last", logs) == logs / "other/a"  # the newest sweep, whatever folder is called so
    with pytest.raises(InputError, match="a names 2 sweeps"):
        find_sweep("a", logs)
    with pytest.raises(InputError, match="c is not a sweep folder"):
        find_sweep("c", logs)
    with pytest.raises(InputError, match="sweep=last finds no sweep"):
        find_sweep("last", tmp_path)
