import hashlib
import json
import subprocess
import time

import pytest
import torch
from speed import slowness

from mlplab.runs import manifest
from mlplab.runs.identity import config_digest
from mlplab.runs.manifest import collect, differences, git_state, secret_in, without_secrets


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.invalid", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", folder, *identity, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    package = tmp_path / "src" / "package"
    package.mkdir(parents=True)
    (package / "a.py").write_text("x = 1\n")
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return package


def state(source):
    return git_state.__wrapped__(source)


def test_a_clean_checkout(checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    assert state(checkout) == {"commit": commit, "dirty": False, "diff_sha256": None}


def test_a_changed_checkout_has_the_digest_of_its_diff(checkout):
    (checkout / "a.py").write_text("x = 2\n")
    found = state(checkout)
    difference = subprocess.run(
        ["git", "-C", checkout, "diff", "HEAD", "--binary"], capture_output=True, check=True
    ).stdout
    assert found["dirty"] and found["diff_sha256"] == hashlib.sha256(difference).hexdigest()
    (checkout / "a.py").write_text("x = 3\n")
    assert state(checkout)["diff_sha256"] != found["diff_sha256"]
    git(checkout, "add", ".")
    assert state(checkout)["dirty"], "what is staged is not committed"


def test_no_checkout_no_commits_no_git(tmp_path, checkout, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    bare = tmp_path.parent / f"{tmp_path.name}-bare"
    bare.mkdir()
    assert state(bare) is None
    git(bare, "init", "-q")
    assert state(bare) is None
    monkeypatch.setenv("PATH", str(bare))
    assert state(checkout) is None


def test_a_package_in_an_environment_inside_a_checkout_is_not_that_checkout(checkout):
    installed = checkout.parent.parent / ".venv" / "lib" / "site-packages" / "package"
    installed.mkdir(parents=True)
    assert state(installed) is None


def test_a_manifest_names_what_the_run_is_made_of(tmp_path):
    config = {"seed": 0, "model": {"width": 128}}
    found = collect(
        config, data_sha256="ab", argv=["train.py", "seed=0"], source=tmp_path, clock=lambda: 0.0, resumed=None
    )
    assert found["config_digest"] == config_digest(config)
    assert found["seed"] == 0 and found["data_sha256"] == "ab"
    assert found["command"] == ["train.py", "seed=0"]
    assert found["git"] is None
    assert found["torch_build"] == torch.__version__
    assert found["versions"]["torch"] in (
        torch.__version__,
        torch.__version__.partition("+")[0],
    )  # a wheel names no build
    assert set(manifest.PACKAGES) < set(found["versions"])
    assert found["threads"] == torch.get_num_threads()
    assert found["device"] == "cpu" and found["cpu_capability"]
    assert found["start_utc"] == "1970-01-01T00:00:00+00:00"
    assert "resumed" in found
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    "given, cleaned",
    [
        (["token=abc"], ["token=***"]),
        (["+logger.wandb.api_key=abc"], ["+logger.wandb.api_key=***"]),
        (["db.Password=a=b"], ["db.Password=***"]),
        (["client_secret=x", "seed=1"], ["client_secret=***", "seed=1"]),
        (["--api-key", "abc", "seed=1"], ["--api-key", "***", "seed=1"]),
        (["--token=abc"], ["--token=***"]),
        (["--token", "--verbose"], ["--token", "--verbose"]),
        (["logger={name:a,apikey:abc,x:1}"], ["logger={name:a,apikey:***,x:1}"]),
        (["logger={'hf_token': 'a b', x: 1}"], ["logger={'hf_token': ***, x: 1}"]),
        (["a={tokens: [a, b], db: {secret: {x: 1}}, n: 2}"], ["a={tokens: ***, db: {secret: ***}, n: 2}"]),
        (["storage=postgresql://me:pass@host/db"], ["storage=postgresql://me:***@host/db"]),
        (["AWS_SECRET_ACCESS_KEY=abc"], ["AWS_SECRET_ACCESS_KEY=***"]),
        (["model.width=16,32", "experiment=tutorial"], ["model.width=16,32", "experiment=tutorial"]),
        (["tokenizer=bpe", "path=/a/b@c"], ["tokenizer=bpe", "path=/a/b@c"]),
        ([], []),
    ],
)
def test_secrets_are_removed(given, cleaned):
    assert without_secrets(given) == cleaned


def test_a_word_of_100_000_letters_is_looked_through_at_once():
    before = time.process_time()
    for word in (
        "x=" + "a" * 100_000,
        "x=" + "a.b-" * 25_000,
        "a" * 100_000 + "://x",
        "x=[" + "a:" * 50_000,
        "x=" + "token:[" * 14_000,
    ):
        assert secret_in(word) is None or "token" in word
        without_secrets([word])
    assert time.process_time() - before < 5 * slowness()


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("token=abc", "token"),
        ("+model.token=abc", "model.token"),
        ("~db.password=abc", "db.password"),
        ("--api-key=abc", "api-key"),
        ("token=", None),
        ("token=null", None),
        ("token=True", None),
        ("token=123456", None),
        ("token=1234567", "token"),
        ("token=***", None),
        ("token", None),
        ("tokeniser=bpe", None),
        ("token.width=abc", None),  # of a group that is called so
        ("a={auth: abc}", "a: auth"),
        ("a={auth: null, b: 1}", None),
        ("a={x: 1, my_secret: 'b c'}", "a: my_secret"),
        ("url=http://me:pw@host/x", "url: the address"),
        ("url=http://host/x", None),
        ("url=me:pw@host", None),
        ("compass=north", None),
        ("pass=word", "pass"),
    ],
)
def test_a_secret_is_named_by_its_key(word, key):
    assert secret_in(word) == key


def test_what_two_manifests_say_differently_is_listed_by_its_cause():
    before = {
        "data_sha256": "a" * 64,
        "versions": {"torch": "1", "numpy": "2"},
        "threads": 1,
        "device": "cpu",
        "other": 1,
    }
    assert differences(before, dict(before)) == []
    now = before | {"versions": {"torch": "1.1", "numpy": "2", "scipy": "3"}, "threads": 2, "other": 2, "platform": "x"}
    assert differences(before, now) == [("versions", "scipy None -> 3, torch 1 -> 1.1"), ("threads", "1 -> 2")]
    ((cause, words),) = differences(before, before | {"data_sha256": None})
    assert cause == "data" and words.endswith("-> None")
    assert differences({}, now) == [] and differences({"versions": None}, {"versions": {"a": 1}})[0][0] == "versions"
