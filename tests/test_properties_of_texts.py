"""Bounds and invariants of what writes and reads text, on inputs that hypothesis draws: runs, words, rules, units, sweeps."""

import copy
import itertools
import math

import numpy as np
import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from properties import FEW, TEXTS, reals
from test_sweep_composer import by_hydra, composing

from mlplab import hydra_names, rules
from mlplab.data.table import read_table
from mlplab.errors import InputError
from mlplab.hydra_names import parsed, quoted
from mlplab.runs import files, metrics
from mlplab.runs.files import flatten, plain_yaml, read_flat, read_plain
from mlplab.runs.identity import Role, config_digest, role_of, tensor_sha256
from mlplab.runs.manifest import secret_in, without_secrets
from mlplab.runs.names import LONGEST, label, run_name, short_names
from mlplab.search.space import read_dimension
from mlplab.studies.lif import units
from mlplab.words import columns, cut, in_markdown, printable, thinned, wrapped

WORDS = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-(10**12), 10**12), reals(-1e300, 1e300), TEXTS)
VALUES = st.recursive(
    LEAVES, lambda part: st.lists(part, max_size=3) | st.dictionaries(WORDS, part, max_size=3), max_leaves=12
)
CONFIGS = st.dictionaries(WORDS, VALUES, min_size=1, max_size=4)


@FEW
@given(CONFIGS)
@example(
    {"a": "1e-3", "b": "on", "c": "null", "d": "~", "e": "0x1", "f": "1_0", "g": "2020-01-01", "h": ".inf", "i": "\x85"}
)
def test_plain_yaml_is_read_back_by_itself_pyyaml_and_omegaconf(config):
    text = plain_yaml(config)
    assert read_plain(text) == config == yaml.safe_load(text)
    if "${" not in text and "???" not in text:
        assert OmegaConf.to_container(OmegaConf.create(text)) == config


FLAT = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-1000, 1000), reals(-1e6, 1e6), WORDS),
    lambda part: st.dictionaries(WORDS, part, min_size=1, max_size=3),
    max_leaves=10,
)


@FEW
@given(st.dictionaries(WORDS, FLAT, min_size=1, max_size=4))
def test_a_flat_config_is_what_omegaconf_selects(tmp_path, config):
    assume("y" not in (*config, *flatten(config)) and all(isinstance(key, str) for key in config))
    path = tmp_path / "config.yaml"
    OmegaConf.save(OmegaConf.create(config), path)
    loaded = OmegaConf.load(path)
    flat = read_flat(path)
    assert flat == flatten(config)
    assert all(OmegaConf.select(loaded, key) == value for key, value in flat.items())


NAMES = st.lists(
    TEXTS.filter(
        lambda name: name not in ("", "epoch") and name == name.strip() and "\r" not in name and "\n" not in name
    ),
    unique=True,
    max_size=4,
)


@FEW
@given(NAMES, st.data())
def test_metrics_come_back_bit_by_bit_and_cutting_keeps_the_rows_before(tmp_path_factory, names, data):
    path = tmp_path_factory.mktemp("metrics") / "metrics.csv"
    numbers = st.one_of(st.none(), st.floats(allow_subnormal=True), st.integers(-(2**53), 2**53))
    rows = [
        {"epoch": epoch} | {name: data.draw(numbers) for name in names[: data.draw(st.integers(0, len(names)))]}
        for epoch in range(data.draw(st.integers(1, 5)))
    ]
    file, at = metrics.MetricsFile(path), data.draw(st.integers(0, len(rows)))
    file.extend(rows[:at])
    file.extend(rows[at:])
    read = file.read()
    assert set(read) == {name for row in rows for name in row}
    for name, column in read.items():
        expected = [row.get(name) for row in rows]
        assert [None if v is None else float(v).hex() for v in column] == [
            None if v is None else float(v).hex() for v in expected
        ]
    last = data.draw(st.integers(-1, len(rows)))
    file.cut(last)
    assert (metrics.read(path)["epoch"] if path.exists() else []) == list(range(min(last + 1, len(rows))))


@FEW
@given(
    st.dictionaries(
        st.lists(WORDS, min_size=1, max_size=3).map(".".join), st.one_of(LEAVES, st.just("data/a b.csv")), max_size=12
    ),
    st.integers(0, 2**63),
    TEXTS,
)
def test_a_runs_name_is_a_folders_name_and_ends_with_its_digest(changed, seed, lead):
    name = run_name(["spiral"], changed, "64x64", seed, "0123456789abcdef")
    assert len(name) <= LONGEST and name.endswith("-01234567") and f"seed{seed}" in name
    assert "/" not in name and name == printable(name) and not name.startswith((".", "-"))
    assert name == run_name(["spiral"], dict(changed), "64x64", seed, "0123456789abcdef")
    assert "\n" not in label(
        {"model.width": 3} | {key: value for key, value in changed.items() if isinstance(value, int)}
    )


@FEW
@given(st.lists(st.lists(WORDS, min_size=1, max_size=3).map(".".join), unique=True, max_size=6))
def test_short_names_tell_their_keys_apart(keys):
    short = short_names(keys)
    assert len(set(short)) == len(keys) and all(key.endswith(name.lstrip(".")) for key, name in zip(keys, short))


# runs: fingerprints and secrets

CONFIG = {
    "seed": 0,
    "name": None,
    "figures": "all",
    "paths": {"logs": "x"},
    "model": {"width": 3, "hidden": None},
    "data": {"noise": 0.1, "seed": 1},
    "trainer": {"max_epochs": 3, "threads": 1},
    "logger": {"csv": None},
    "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.1},
    "launcher": {"executor": "inline"},
}


@FEW
@given(st.sampled_from(sorted(flatten(CONFIG))), LEAVES, st.randoms(use_true_random=False))
def test_a_configs_digest_changes_if_and_only_if_its_identity_does(key, value, pick):
    changed = copy.deepcopy(CONFIG)
    *parents, last = key.split(".")
    node = changed
    for name in parents:
        node = node[name]
    before, node[last] = node[last], value
    same = type(before) is type(value) and before == value
    assert (config_digest(changed) == config_digest(CONFIG)) == (same or Role.IDENTITY not in role_of(key))
    shuffled = {name: changed[name] for name in pick.sample(sorted(changed), len(changed))}
    assert config_digest(shuffled) == config_digest(changed)


@FEW
@given(st.lists(reals(-1e9, 1e9), min_size=1, max_size=6), st.integers(0, 5), st.sampled_from(["float64", "float32"]))
def test_a_tensors_fingerprint_changes_with_any_bit_type_shape_or_name(values, index, kind):
    array = np.array(values, dtype=kind)
    own = tensor_sha256({"a": array, "b": 1})
    assert tensor_sha256({"b": 1, "a": array.copy()}) == own
    other = array.copy()
    other[index % len(array)] = np.nextafter(other[index % len(array)], np.inf, dtype=kind)
    assert (
        len(
            {
                own,
                tensor_sha256({"a": other, "b": 1}),
                tensor_sha256({"a": array[None], "b": 1}),
                tensor_sha256({"c": array, "b": 1}),
                tensor_sha256({"a": array.view("int64" if kind == "float64" else "int32"), "b": 1}),
            }
        )
        == 5
    )


SECRETS = st.text("abcdefghijkmnopqrstuvwxyzABC23456789+/", min_size=10, max_size=24).map(lambda text: f"q7{text}")
HOLDING = st.sampled_from(
    "token api_key API-KEY password passwd secret auth bearer credentials private_key passphrase pwd".split()
)


@FEW
@given(
    HOLDING,
    SECRETS,
    st.sampled_from(
        [
            "+{0}={1}",
            "a.b.{0}={1}",
            "x={{{0}: {1}}}",
            "x={{b: 1, '{0}': \"{1}\"}}",
            "--{0}={1}",
            "x=[{{{0}: {1}}},2]",
            "u=https://me:{1}@host/{0}",
            "+x.{0}='{1}'",
        ]
    ),
)
def test_no_secret_is_left_in_a_command_line(key, secret, form):
    word = form.format(key, secret)
    assume("/" not in secret or "://" not in form)
    assert secret not in " ".join(without_secrets(["train", word, f"--{key}", secret]))
    assert secret_in(word) is not None and secret not in secret_in(word)


@FEW
@given(WORDS, st.one_of(WORDS, st.integers(), reals(-9, 9)))
def test_what_is_no_secret_stays_as_it_is(key, value):
    word = f"model.{key}={value}"
    if secret_in(word) is None:
        assert without_secrets([word]) == [word]


# words, rules, units

CELLS = st.text(
    st.characters(codec="utf-8", exclude_characters="\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=30
)


@FEW
@given(
    st.integers(1, 6).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1, max_size=5)),
    st.integers(20, 120),
    st.integers(0, 2),
)
def test_columns_never_exceed_the_width(rows, width, left):
    lines = columns(rows, left=left, width=width)
    assert all(len(line) <= width for line in lines) and len(rows) <= len(lines) <= len(rows) + 1
    assert all(line == line.rstrip() for line in lines)


@FEW
@given(TEXTS, st.integers(1, 20), st.integers(2, 20), st.lists(st.integers(), max_size=50))
def test_texts_are_cut_to_their_width_and_rows_thinned_evenly(text, width, most, rows):
    assert len(cut(text, width)) <= width and (cut(text, width) == text) == (len(text) <= width)
    few = thinned(rows, most)
    assert len(few) == min(most, len(rows)) and (not rows or (few[0], few[-1]) == (rows[0], rows[-1]))
    assert "\n" not in in_markdown(text) and "|" not in in_markdown(text).replace("\\\\", "").replace("\\|", "")
    assert all(letter.isprintable() or letter == "\n" for letter in printable(text))


@FEW
@given(st.lists(WORDS, min_size=1, max_size=30).map(" ".join), st.integers(20, 100))
def test_a_wrapped_sentence_has_its_words_and_no_long_line(text, width):
    lines = wrapped(text, width=width).splitlines()
    assert " ".join(lines).split() == text.split() and max(map(len, lines)) <= width


@FEW
@given(st.lists(WORDS.filter(lambda word: len(word) > 3), min_size=1, max_size=6, unique=True), st.data())
def test_a_near_match_is_one_of_the_names_and_finds_a_slip(names, data):
    name = data.draw(st.sampled_from(names))
    at = data.draw(st.integers(0, len(name) - 2))
    slipped = name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    found = rules.near(slipped, names)
    assert found.startswith("; did you mean ") and found[15:-1] in names
    assert sorted(found[15:-1]) == sorted(slipped)
    assert rules.near("", names) == ""


@FEW
@given(st.integers(-50, 50), st.integers(0, 50), st.one_of(LEAVES, st.integers(-60, 110)))
def test_a_rule_takes_what_it_says_and_refuses_in_one_short_line(low, more, value):
    for rule, inside in (
        (rules.integer(low, low + more), isinstance(value, int)),
        (rules.number(low, low + more), isinstance(value, int | float)),
    ):
        allowed = inside and not isinstance(value, bool) and low <= value <= low + more
        assert rule.accepts(value) == allowed
        if not allowed:
            with pytest.raises(InputError) as caught:
                rule.check("key", value)
            line = str(caught.value)
            assert line.startswith("key must be ") and "\n" not in line and len(line) < 250


@FEW
@given(reals(1e-9, 1e9), st.sampled_from(sorted(rules.SUFFIXES)))
def test_a_quantity_is_said_so_that_it_reads_back(value, suffix):
    said = units.say(value, suffix, digits=17)
    assert rules.parse(said, suffix) == pytest.approx(value, rel=1e-12)
    factor, _ = units.scale_of(value, suffix)
    assert rules.quantity(rules.number(), suffix).accepts(said)
    assert math.isfinite(factor) and factor > 0


@FEW
@given(
    st.integers(1, 4),
    st.lists(st.lists(reals(-1e12, 1e12), min_size=4, max_size=4), min_size=1, max_size=6),
    st.sampled_from([",", ";", "\t"]),
    st.booleans(),
)
def test_a_table_is_read_as_it_was_written(tmp_path_factory, count, rows, separator, header):
    path = tmp_path_factory.mktemp("table") / "t.csv"
    names = ["alpha", "beta", "gamma", "delta"][:count]
    lines = [separator.join(names)] * header + [separator.join(map(repr, row[:count])) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    if count == 1:
        return  # no separator is there to be found
    table = read_table(path)
    assert table.names == (names if header else [f"x{j + 1}" for j in range(count)])
    for j, column in enumerate(table.columns):
        assert column.values.tolist() == [row[j] for row in rows]


QUOTED = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=8)


@FEW
@given(st.lists(QUOTED.filter(lambda text: text.strip() == text and text[0] != "#"), min_size=2, max_size=6))
def test_words_of_a_table_come_back(tmp_path_factory, words):
    path = tmp_path_factory.mktemp("words") / "t.csv"
    assume(all(word not in ("", "?", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null") for word in words))
    assume(not any(_is_number(word) for word in words))
    quotes = [word.replace('"', '""') for word in words]
    path.write_text("x,kind\n" + "".join(f'{n},"{word}"\n' for n, word in enumerate(quotes)), encoding="utf-8")
    column = read_table(path, separator="comma", header=True).columns[1]
    assert [column.levels[code] for code in column.values] == words


def _is_number(text):
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


@FEW
@given(TEXTS.filter(lambda text: "\0" not in text))
def test_a_quoted_text_is_what_hydra_reads(text):
    entry = parsed(f"name={quoted(text)}")
    assert entry is not None and not entry.is_sweep_override() and str(entry.value()) == text


NUMBERS = st.integers(-20, 20)
SWEPT = st.one_of(
    st.lists(
        WORDS.filter(lambda word: word not in ("nan", "inf", "null", "true", "false", "on", "off")),
        min_size=2,
        max_size=4,
        unique=True,
    ).map(",".join),
    st.lists(NUMBERS, min_size=2, max_size=4, unique=True).map(lambda values: f"choice({','.join(map(str, values))})"),
    st.tuples(NUMBERS, NUMBERS, st.sampled_from([1, 2, 3, -1, -2])).map(
        lambda ends: f"range({ends[0]},{ends[1]},{ends[2]})"
    ),
    st.tuples(st.integers(0, 9), st.integers(1, 9), st.sampled_from([0.1, 0.25, 0.5])).map(
        lambda e: f"range({e[0] / 10},{(e[0] + e[1]) / 10},{e[2]})"
    ),
)


@FEW
@given(st.lists(SWEPT, min_size=1, max_size=3))
def test_the_jobs_of_a_sweep_are_hydras_in_hydras_order(texts):
    given_words = [f"k{index}={text}" for index, text in enumerate(texts)]
    entries = [parsed(text) for text in given_words]
    try:
        dimensions = [read_dimension(text, entry) for text, entry in zip(given_words, entries)]
    except InputError as error:
        assert "holds no value" in str(error)
        return
    _, sweeper, _ = hydra_names.core_plugins()
    (hydras,) = sweeper.split_arguments(entries, max_batch_size=None)
    ours = [
        [dimension.override(dimension.value(index)) for dimension, index in zip(dimensions, places)]
        for places in itertools.product(
            *[
                # a range that falls is walked from its end
                range(d.count) if "range" not in text or parsed(text).value().step > 0 else range(d.count - 1, -1, -1)
                for d, text in zip(dimensions, given_words)
            ]
        )
    ]
    for one, other in zip(ours, hydras, strict=True):
        found, expected = ([parsed(text).value() for text in job] for job in (one, other))
        assert [pytest.approx(value) if isinstance(value, float) else value for value in found] == expected


JOBS = st.lists(
    st.sampled_from(
        [
            "model.width=8",
            "model.width=16",
            "model.hidden=[8,4]",
            "optimizer.lr=0.5",
            "seed=3",
            "seed=4",
            "data=moons",
            "data.noise=0.3",
            "schedule=step",
            "schedule.factor=0.5",
            "optimizer=sgd",
            "~callbacks.progress",
            "++model.width=4",
            "data.order_seed=${data.seed}",
            "trainer={max_epochs: 3}",
            "callbacks.decision_maps=null",
            "experiment=debug",
        ]
    ),
    max_size=4,
    unique_by=lambda text: text.partition("=")[0],
)


@settings(FEW, max_examples=max(FEW.max_examples // 5, 4))  # Hydra takes its time
@given(st.lists(JOBS, min_size=1, max_size=3))
def test_any_jobs_are_composed_as_hydra_composes_each(jobs):
    with composing() as (loader, master, composer):
        for job in jobs:
            try:
                expected = by_hydra(loader, master, job)
            except Exception as error:  # whatever is wrong with a job, it is so for both
                with pytest.raises((InputError, type(error))):
                    composer.compose(job)
                continue
            assert composer.compose(job)[0] == expected


def test_what_is_wide_is_not_deep():
    deepest = files.DEEPEST
    wide = "\n".join(f"key{i}: [[1], {{a: 2}}]" for i in range(3 * deepest))
    assert len(read_plain(wide)) == 3 * deepest
    assert read_plain("a: " + "[" * (deepest - 1) + "]" * (deepest - 1))
    with pytest.raises(ValueError, match=f"at most {deepest} levels deep"):
        read_plain("a: " + "[" * deepest + "]" * deepest)
