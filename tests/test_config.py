import copy
import importlib
import inspect
import math
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf
from wrong_values import wrong_values

from mlplab.config import composition as configs
from mlplab.config import schema
from mlplab.config.validation import train_points, validate
from mlplab.errors import InputError
from mlplab.rules import Rule, choice, either, integer, many, number, optional
from mlplab.studies.recording import build

CONF = configs.conf_folder()
FILES = sorted(CONF.rglob("*.yaml"))
GROUPS = ("data", "model", "loss", "optimizer", "schedule", "trainer", "callbacks", "logger", "experiment")
OPTIONS = [(group, path.stem) for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]


@pytest.fixture(scope="module")
def default() -> dict:
    return OmegaConf.to_container(configs.compose("train"))


def set_key(config: dict, key: str, value: object) -> dict:
    changed = copy.deepcopy(config)
    node = changed
    *parents, leaf = key.split(".")
    for name in parents:
        node = node[name]
    node[leaf] = value
    return changed


def line_of(*overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        configs.compose("train", list(overrides))
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_there_are_options_to_test():
    assert {group for group, _ in OPTIONS} == set(GROUPS)
    assert len(FILES) > 25


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_every_file_opens_with_the_command_that_uses_it(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    first = lines[1] if lines[0] == "# @package _global_" else lines[0]  # Hydra wants its own line first
    assert first.startswith("# scripts/lab ")


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_to_a_valid_config_without_interpolations(group, option):
    more = [f"data.path={Path(__file__)}"] if option in ("file", "table") else []
    composition = configs.compose_all("train", [f"{group}={option}", *more])
    assert composition.choices[group] == option
    assert "${" not in OmegaConf.to_yaml(composition.config)
    assert "hydra" not in composition.config


def nodes_with_target(value):
    if isinstance(value, dict):
        if "_target_" in value:
            yield value
        for entry in value.values():
            yield from nodes_with_target(entry)


def whole(path: Path) -> dict:
    """Read a file with what it takes over from others of its group."""
    own = yaml.safe_load(path.read_text(encoding="utf-8"))
    above = [name for name in own.pop("defaults", []) if isinstance(name, str) and name != "_self_"]
    return {key: value for name in above for key, value in whole(path.with_name(f"{name}.yaml")).items()} | own


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_the_tables_name_exactly_the_keys_that_conf_spells_out(path):
    for node in nodes_with_target(whole(path)):
        keys = {key for key in node if key not in schema.INSTANTIATE}
        assert keys == set(schema.TARGETS[node["_target_"]])


@pytest.mark.parametrize("target", sorted(schema.TARGETS))
def test_the_tables_name_arguments_that_the_classes_take(target):
    module, _, name = target.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    taken = {name for base in inspect.getmro(found) for name in inspect.signature(base.__init__).parameters}
    assert set(schema.TARGETS[target]) <= taken


def test_every_wrong_value_of_every_rule_is_refused_by_its_key(default):
    def rules(node, table, prefix=""):
        for name, rule in table.items():
            key = f"{prefix}{name}"
            if isinstance(rule, Rule):
                yield key, rule
            elif isinstance(rule, dict):
                yield from rules(node[name], rule, f"{key}.")
            elif isinstance(rule, schema.Object):
                yield from rules(node[name], schema.TARGETS[node[name]["_target_"]], f"{key}.")
            else:
                for entry, inner in node[name].items():
                    if inner is not None:
                        yield from rules(inner, schema.TARGETS[inner["_target_"]], f"{key}.{entry}.")

    checked = 0
    for key, rule in rules(default, schema.ROOTS["train"]):
        for value in wrong_values(rule):
            with pytest.raises(InputError, match=rf"^{key.replace('.', '[.]')} must be ") as caught:
                validate(set_key(default, key, value))
            assert "\n" not in str(caught.value)
            checked += 1
    assert checked > 200


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("data.nosie=1", ["data.nosie is not an option", "got data.nosie=1", "did you mean data.noise?"]),
        ("model.widht=3", ["model.widht is not an option", "did you mean model.width?", "depth"]),
        ("width=3", ["width is not an option", "did you mean model.width?"]),
        ("trainerr=gpu", ["trainerr is not an option", "did you mean trainer?"]),
        ("trainer=gpuu", ["must be one of auto, cpu, debug, gpu, mps", "'gpuu'", "did you mean gpu?"]),
        ("experiment=nope", ["experiment must be one of activation, debug, ", "near_bayes, ", "'nope'"]),
        ("model.width=0", ["model.width must be an integer >= 1, got 0"]),
        ("model.width=abc", ["model.width must be an integer >= 1, got 'abc'"]),
        ("model.width.foo=1", ["model.width.foo is not an option"]),
        ("data.noise=-0.1", ["data.noise must be a number from 0 to 1000, got -0.1"]),
        ("data={noise:-1}", ["data.noise must be a number from 0 to 1000, got -1"]),
        ("data={nosie:1}", ["data.nosie is not an option", "did you mean data.noise?"]),
        ("optimizer.lr=nan", ["optimizer.lr must be a number > 0 and <= 1e+30, got nan"]),
        ("optimizer.lr=inf", ["optimizer.lr must be a number > 0 and <= 1e+30, got inf"]),
        ("seed=", ["seed must be an integer", "got ''"]),
        ("seed=-1", ["seed must be an integer", "got -1"]),
        ("name=a/b", ["name must be null, or at most 200 letters", "'a/b'"]),
        ("model.activation=rleu", ["model.activation must be one of relu", "did you mean relu?"]),
        ("model.hidden=[8,0]", ["model.hidden must be null, or a list", "[8, 0]"]),
        ("evaluate_state=bset", ["evaluate_state must be one of best, last", "did you mean best?"]),
        ("+unknown=1", ["unknown is not an option"]),
        ("+model.foo=1", ["model.foo is not an option", "model takes hidden, width"]),
        ("+trainer.deterministik=true", ["trainer.deterministik is not an option"]),
        ("+trainer.deterministic=a", ["trainer.deterministic must be null, or true or false, or warn, got 'a'"]),
        ("+trainer.min_epochs=a", ["trainer.min_epochs must be null, or an integer >= 0, got 'a'"]),
        ("+trainer.max_time=90", ["trainer.max_time must be null, or a time such as 00:01:30:00", "got 90"]),
        ("+trainer.limit_val_batches=-1", ["trainer.limit_val_batches must be", "got -1"]),
        (
            "+trainer.logger=false",
            ["trainer.logger must be left out, got trainer.logger=False: take one of the group logger"],
        ),
        ("+trainer.default_root_dir=/tmp", ["trainer.default_root_dir must be left out", "its own folder"]),
        ("trainer.devices=0", ["trainer.devices must be an integer >= 1", "got 0"]),
        ("~model", ["model is missing"]),
        ("~trainer.max_epochs", ["trainer.max_epochs is missing"]),
        ("+model.width=4", ["model.width is there already; write model.width=VALUE without +"]),
        ("+data=spiral", ["data has a choice already"]),
        ("model=3", ["model must be the name of an option", "model=3"]),
        ("model.width=${nowhere}", ["model.width cannot be resolved", "nowhere"]),
        ("name=${hydra:runtime.choices.model}", ["name cannot be resolved", "keys of hydra alone", "as ${seed}"]),
        ("name=${hydra.job.name}", ["name cannot be resolved", "keys of hydra alone"]),
        ("hydra.run.dir=${hydra:job.name}", ["hydra.run.dir cannot be resolved", "as ${hydra.job.name}"]),
        ("~loss.weight", ["loss.weight is null, and Hydra takes out only what has a value, got ~loss.weight"]),
        (
            "~loss.weight=null",
            ["loss.weight is null, and Hydra takes out only what has a value, got ~loss.weight=null"],
        ),
        ("~loss.ignore_index=3", ["loss.ignore_index has another value, got ~loss.ignore_index=3; write ~loss.ignore"]),
        ("model.width=[1,", ["model.width must be a value", "'model.width=[1,'"]),
        ("width", ["options must be KEY=VALUE, got 'width'"]),
        ("=3", ["options must be KEY=VALUE, got '=3'"]),
        ("~", ["options must be KEY=VALUE, got '~'"]),
        ("+=3", ["options must be KEY=VALUE, got '+=3'"]),
        ("model.hidden=" + "[" * 200 + "]" * 200, ["model.hidden is nested too deeply, got model.hidden=[[[["]),
        ("hydra.mode=${nope}", ["hydra.mode cannot be resolved", "'nope'"]),
        ("hydra.callbacks=${nope}", ["hydra.callbacks cannot be resolved", "'nope'"]),
        ("+hydra.callbacks.mine={a: ${nope}}", ["hydra.callbacks cannot be resolved", "'nope'"]),
        ("hydra.callbacks=${seed}${seed}", ["hydra.callbacks must be null, or a mapping {key: value}, got '00'"]),
        ("hydra.job.env_set=${seed}${seed}", ["hydra.job.env_set must be null, or a mapping", "got '00'"]),
        ("hydra.output_subdir=../x", ["hydra.output_subdir must be null, or a name of at most 60 letters", "'../x'"]),
        ("hydra.output_subdir=" + "x" * 300, ["hydra.output_subdir must be null, or a name of at most 60 letters"]),
        ("data=file", ["data.path must be given"]),
        ("+experiment=tutorial", ["experiment has a choice already; write experiment=NAME without +"]),
        ("seed=range(3)", ["seed takes one value here, got seed=range(3); add -m for a sweep"]),
        ("name=" + "x" * 201, ["name must be null, or at most 200 letters"]),
        ("model.depth=100000000", ["model.depth must be an integer from 0 to 10000, got 100000000"]),
        ("data.arms=1000000", ["data.arms must be an integer from 1 to 1000, got 1000000"]),
        ("data.noise=1e300", ["data.noise must be a number from 0 to 1000, got 1e+300"]),
        ("optimizer.lr=1e300", ["optimizer.lr must be a number > 0 and <= 1e+30, got 1e+300"]),
        (
            "callbacks.decision_maps.limit=1e-320",
            ["callbacks.decision_maps.limit must be null, or a number from 1e-30"],
        ),
        ("data.t_max=1e300", ["data.t_max must be a number > 0 and <= 100, got 1e+300"]),
        ("trainer.threads=10000000", ["trainer.threads must be an integer from 1 to 1024, got 10000000"]),
        ("trainer.precision=bf8", ["trainer.precision must be one of 32-true, 64-true,", "got 'bf8'"]),
        ("trainer.gradient_clip_val=-1", ["trainer.gradient_clip_val must be null, or a number >= 0, got -1"]),
        ("loss.weight=[0,0,0,0]", ["loss.weight must have an entry above 0, got [0, 0, 0, 0]"]),
        ("+data._partial_=true", ["data._partial_ must be false: only optimizer and schedule", "got true"]),
        ("paths.logs=", ["paths.logs must be a path, got ''"]),
    ],
)
def test_a_wrong_option_is_answered_in_one_line(override, parts):
    line = line_of(override)
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    "override, offered",
    [
        ("seed=0,1", ""),
        ("model.depth=1,2", ""),
        ("hydra.job.name=a,b", ""),
        ("experiment=noise,near_bayes", ""),
        ("model.hidden=8,4", ", or write model.hidden=[8,4]"),
        ("trainer.devices=0,1", ", or write trainer.devices=[0,1]"),
        ("callbacks.mine.of=1,2", ", or write callbacks.mine.of=[1,2]"),
    ],
)
def test_a_list_is_offered_where_the_key_may_have_one(override, offered):
    key = override.partition("=")[0]
    assert line_of(override) == f"{key} takes one value here, got {override}; add -m for a sweep{offered}"


def test_an_experiment_of_another_study_is_refused():
    with pytest.raises(
        InputError, match=r"^experiment is not an option, got \+experiment=noise; lif takes seed, .*neuron"
    ):
        configs.compose("lif", ["+experiment=noise"])
    with pytest.raises(
        InputError, match="target.low must be null, or a number from -1e[+]30 to 1e[+]30, got -1e[+]300"
    ):
        configs.compose("relu_approximation", ["target.low=-1e300"])
    with pytest.raises(InputError, match="neuron.resistance_kohm must be a number from 1e-30 to 1e[+]30, or inf"):
        configs.compose("lif", ["neuron.resistance_kohm=5e-324"])


@pytest.mark.parametrize(
    "content, words",
    [
        (b"a: [1", ", line 1, must be YAML: expected ',' or ']'"),
        (b"a: 1\na: 2\n", ", line 2, must be YAML: found duplicate key a"),
        (b"a: \x01", ", must be YAML: special characters"),
        (b"a: \xfc", "must be UTF-8 text: invalid start byte at byte 3; save it as UTF-8"),
        (b"a: ${b", "must hold values that OmegaConf can read: no viable alternative at input '${b'"),
        (b"defaults: [mine]", "must not include itself, and does by its defaults: model/mine -> model/mine"),
        (b"defaults: [/model@x: mine]", "must not include itself"),
        (b"defaults: [other]", "does by its defaults: model/mine -> model/other -> model/mine"),
    ],
)
def test_a_broken_file_of_configs_is_named(tmp_path, content, words):
    path = tmp_path / "model" / "mine.yaml"
    path.parent.mkdir()
    path.write_bytes(content)
    (path.parent / "a.yaml").write_bytes(b"defaults: [a]")
    (path.parent / "other.yaml").write_bytes(b"defaults: [mine]")
    with pytest.raises(InputError, match=r"^[^\n]*$") as error:
        configs.compose("train", ["model=mine"], tmp_path)
    assert str(error.value).startswith(f"'{path}'") and words in str(error.value)


def test_of_several_words_the_group_without_a_name_is_named():
    assert line_of("seed=3", "figures=null", "model=[a,[b,{c: d}]]").startswith("model must be the name of an option")


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        (["data.validation_points=0"], "evaluate_state=best needs validation data"),
        (["data=file", "data.path=x.csv", "data.validation_fraction=0"], "data.validation_fraction above 0"),
        (["data=file", "data.path=x.csv", "data.validation_fraction=0.9"], "together must be < 1"),
        (["data.batch_size=3201"], "data.batch_size must be <= 3200, the number of train points, got 3201"),
        (["data.batch_size=128", "data.points_per_arm=40"], "data.batch_size must be <= 128"),
        (["callbacks=early_stopping", "evaluate_state=last", "data.validation_points=0"], "needs validation"),
        (["trainer.max_epochs=0"], "trainer.max_epochs must be an integer >= 1, or -1"),
        (["trainer.max_epochs=-1"], "needs trainer.max_steps"),
        (["data.t_min=1.1"], "data.t_min must be at most data.t_max"),
        (["optimizer=sgd", "optimizer.nesterov=true"], "needs optimizer.momentum > 0"),
        (["schedule=cosine", "schedule.warmup_epochs=100"], "schedule.warmup_epochs must be below"),
        (["loss.weight=[1,2]"], "loss.weight must be a list of 4"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(overrides, part):
    if overrides == ["data.batch_size=128", "data.points_per_arm=40"]:
        assert configs.compose("train", overrides).data.batch_size == 128  # 160 - 32: just enough
        overrides = ["data.batch_size=129", "data.points_per_arm=40"]
    assert part in line_of(*overrides)


@pytest.mark.parametrize(
    "override",
    [
        "seed=0",
        "model.hidden=[]",
        "model.hidden=[100,10,5]",
        "model.depth=0",
        "data.noise=0",
        "optimizer.lr=1",
        "model.activation={name:leaky_relu,negative_slope:0.2}",
        "callbacks.decision_maps=null",
        "callbacks.decision_maps.epochs=[0,5]",
        "trainer.limit_train_batches=1",
        "trainer.limit_train_batches=0.5",
        "trainer.fast_dev_run=true",
        "trainer.devices=[0]",
        "trainer.precision=64-true",
        "data.batch_size=3200",
        "loss.weight=[1,1,1,2.5]",
        "name=first-try_2",
        "model.init_seed=0",
    ],
)
def test_good_values_pass(override):
    key, _, text = override.partition("=")
    value = OmegaConf.select(configs.compose("train", [override]), key)
    assert value is not None or text == "null"


def test_train_points_counts_what_the_split_leaves(default):
    assert train_points(default["data"]) == 3200
    assert (
        train_points({"_target_": "mlplab.data.modules.MoonsDataModule", "points_per_class": 5, "test_fraction": 0.25})
        == 8
    )
    assert train_points({"_target_": "mine.Data", "points_per_class": 5, "test_fraction": 0.2}) is None


def test_experiments_say_what_they_publish():
    tutorial = configs.compose("train", ["experiment=tutorial"])
    data = tutorial.data
    assert (data.seed, data.seeding, data.validation_points) == (2021, "tutorial", 0)
    assert (tutorial.seed, tutorial.model.init_seed, list(tutorial.model.hidden)) == (2021, 2021, [128])
    assert (tutorial.optimizer.lr, tutorial.trainer.max_epochs) == (1e-3, 100)
    assert tutorial.evaluate_state == "last"
    assert tutorial.data.order_seed == 2021
    near_bayes = configs.compose("train", ["experiment=near_bayes", "trainer.max_epochs=3"])
    assert near_bayes.trainer.max_epochs == 3  # the command line wins over the experiment


def test_order_seed_follows_the_seed_unless_it_is_given():
    assert configs.compose("train", ["seed=7"]).data.order_seed == 7
    assert configs.compose("train", ["seed=7", "data.order_seed=3"]).data.order_seed == 3


def test_the_log_folder_is_absolute_and_from_the_checkout_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Path(configs.compose("train").paths.logs) == configs.logs_folder()
    assert configs.compose("train", ["paths.logs=here"]).paths.logs == str(tmp_path / "here")


def test_a_users_own_class_and_yaml_in_a_further_folder(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("_target_: mine.Net\nplanets: 9\n")
    config = configs.compose("train", ["model=mine", "+model.moons=1"], config_dir=tmp_path)
    assert dict(config.model) == {"_target_": "mine.Net", "planets": 9, "moons": 1}
    by_search_path = configs.compose("train", ["model=mine", f"hydra.searchpath=[{tmp_path}]"])
    assert by_search_path.model.planets == 9
    with pytest.raises(InputError, match="--config-dir must be a folder"):
        configs.compose("train", [], config_dir=tmp_path / "nowhere")


def test_a_users_yaml_for_one_of_our_classes_may_leave_keys_to_the_class(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "small.yaml").write_text("_target_: mlplab.nn.mlp.MLP\nwidth: 8\n")
    assert configs.compose("train", ["model=small"], config_dir=tmp_path).model.width == 8


def test_another_config_tree_by_environment_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("MLPLAB_CONF", str(tmp_path / "nowhere"))
    assert "MLPLAB_CONF must be a folder" in line_of()


def recorded(tmp_path, **changes) -> Path:
    config = OmegaConf.to_container(configs.compose("train"))
    for key, value in changes.items():
        config = set_key(config, key.replace("__", "."), value)
    path = tmp_path / "config.yaml"
    OmegaConf.save(OmegaConf.create(config), path)
    return path


def test_a_recorded_config_reads_back_as_it_was(tmp_path):
    assert configs.load_recorded(recorded(tmp_path)) == configs.compose("train")


def test_a_recorded_config_from_before_a_key_existed_gets_its_default(tmp_path):
    config = OmegaConf.to_container(configs.compose("train"))
    del config["evaluate_state"], config["trainer"]["profiler"], config["paths"]
    OmegaConf.save(OmegaConf.create(config), tmp_path / "config.yaml")
    assert configs.load_recorded(tmp_path / "config.yaml") == configs.compose("train")
    del config["data"]
    OmegaConf.save(OmegaConf.create(config), tmp_path / "config.yaml")
    with pytest.raises(InputError, match="data is missing"):
        configs.load_recorded(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"model___target_": "os.system"}, "model._target_ must start with one of mlplab.nn., "),
        ({"model___target_": "mlplabx.Net"}, "must start with one of"),
        ({"model__activation": {"name": "relu", "_target_": "os.system"}}, "model.activation._target_"),
        ({"callbacks__progress": [{"_target_": "builtins.print"}]}, "must start with one of"),
        (
            {"callbacks__progress": {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": "/x"}},
            "callbacks.progress.dirpath must be null, got '/x': a config that is read back does not say where to write; "
            "if it is your own, set MLPLAB_TRUST=lightning",
        ),
        ({"model___target_": "mine.nets.Net"}, "if it is your own, set MLPLAB_TRUST=mine"),
        ({"model__width": 0}, "model.width must be an integer >= 1"),
        ({"name": "${oc.env:HOME}"}, "holds no ${...}"),
    ],
)
def test_a_recorded_config_is_not_trusted(tmp_path, changes, part):
    with pytest.raises(InputError) as caught:
        configs.load_recorded(recorded(tmp_path, **changes))
    assert part in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: [", "!!python/object/apply:os.system ['true']", "\x00"])
def test_a_damaged_recorded_config_is_one_line(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="config.yaml") as caught:
        configs.load_recorded(path)
    assert "\n" not in str(caught.value)


def test_override_changes_a_copy_and_checks_it():
    config = configs.compose("train")
    wider = configs.override(config, ["data.noise=0.3", "model.hidden=[3]"])
    assert (wider.data.noise, list(wider.model.hidden), config.data.noise) == (0.3, [3], 0.16)
    assert configs.override(config, ["data=moons"]).data._target_.endswith("MoonsDataModule")
    for wrong, part in [
        ("data.nosie=1", "did you mean data.noise?"),
        ("data.noise=-1", "from 0 to 1000"),
        ("data.noise=1,2", "one value"),
        ("+data.foo=1", "without +"),
        ("noise", "KEY=VALUE"),
    ]:
        with pytest.raises(InputError, match=part.replace("?", r"\?").replace("+", r"\+")):
            configs.override(config, [wrong])


def test_options_for_slurm_are_any():
    words = ["launcher=submitit", "launcher.options={slurm_partition: short, mem_gb: 4}"]
    assert configs.compose("train", words).launcher.options == {"slurm_partition": "short", "mem_gb": 4}


def test_build_makes_the_object_and_says_in_one_line_why_not():
    activation = OmegaConf.create({"_target_": "torch.nn.LeakyReLU", "negative_slope": 0.1})
    assert build(activation, "model").negative_slope == 0.1
    for node, part in [
        ({"_target_": "torch.nn.Nope"}, "model._target_=torch.nn.Nope cannot be built"),
        ({"_target_": "torch.nn.ReLU", "planets": 9}, "planets"),
    ]:
        with pytest.raises(InputError, match=part) as caught:
            build(OmegaConf.create(node), "model")
        assert "\n" not in str(caught.value)


def test_rules_accept_their_ends():
    assert integer(1).accepts(1) and not integer(1).accepts(True)
    assert number(0, 1).accepts(1) and not number(0, 1, below=True).accepts(1)
    assert number(0).accepts(0) and not number(0, above=True).accepts(0) and not number().accepts(math.nan)
    assert optional(integer(0)).accepts(None) and either(choice("log"), integer(0)).accepts("log")
    assert many(integer(1)).accepts([]) and not many(integer(1), least=1).accepts([])
    assert choice(1).accepts(1) and not choice(1).accepts(True)


def test_the_rules_name_what_the_classes_know():
    from mlplab.nn.activations import ACTIVATIONS
    from mlplab.nn.mlp import INITIALIZATIONS
    from mlplab.options import MLP

    assert MLP["activation"].names == tuple(ACTIVATIONS)
    assert MLP["initialization"].names == tuple(INITIALIZATIONS)


def test_every_option_of_lightnings_trainer_has_a_rule_or_a_reason():
    import inspect

    from lightning.pytorch import Trainer

    from mlplab.options import CLOSED_TRAINER, FURTHER_TRAINER, TRAINER

    named = [*TRAINER, *FURTHER_TRAINER, *CLOSED_TRAINER]
    assert sorted({*named} - {"engine", "threads"}) == sorted(
        {*inspect.signature(Trainer.__init__).parameters} - {"self"}
    )
    assert len(named) == len(set(named))
    for name, parameter in inspect.signature(Trainer.__init__).parameters.items():
        if name in FURTHER_TRAINER:
            assert FURTHER_TRAINER[name].accepts(parameter.default) or parameter.default is None, name
