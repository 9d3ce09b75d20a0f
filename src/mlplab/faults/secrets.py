"""No secret that stands on a command line, in the environment or in an address comes into any file."""

import os
import shutil
from pathlib import Path

from mlplab.faults.campaign import Outcome
from mlplab.faults.owner import train
from mlplab.faults.trials import SMALL, run

SECRET = "hunter22-Vq8xPz"
GIVEN = (
    "+token={}",
    "+model.api_key={}",
    "++model.apikey={}",
    "+hf_token={}",
    "+pwd={}",
    "+db.pass={}",
    "+auth={}",
    "+bearer={}",
    "+passphrase={}",
    "+logger.credentials={}",
    "+access_key={}",
    "+AWS_SECRET_ACCESS_KEY={}",
    "++private-key={}",
    "+authorization='Bearer {}'",
    "+x=[{{password: {}}}]",
    "+x=[[a, {{auth: {}}}]]",
    "+x={{y: {{z: {{client_secret: {}}}}}}}",
    "+secrets=[{},b]",
    "+tokens={{a: {}}}",
    "+db=postgres://me:{}@host/x",
    "+x=[https://me:{}@host]",
    "+proxy=http://{}@host",
    "data.path=https://me:{}@host/x.csv",
    "password={}",
    "--password={}",
    "--token {}",
    "+model.x=sk-{}",
    "+header='Authorization: Bearer {}'",
    "+url=https://host/?api_key={}",
)
ENVIRONMENT = ("API_TOKEN", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "PASSWORD", "GITHUB_TOKEN", "DATABASE_URL")


# What git takes from the environment as if it stood in a repository's config.
OF_GIT = {
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "remote.origin.url",
    "GIT_CONFIG_VALUE_0": f"https://me:{SECRET}@host/x.git",
    "GIT_CONFIG_KEY_1": "user.email",
    "GIT_CONFIG_VALUE_1": f"{SECRET}@host",
}
# Files of a home folder in which tools keep them.
OF_HOME = (".netrc", ".git-credentials", ".aws/credentials", ".config/gh/hosts.yml", ".huggingface/token", ".pypirc")


def secrets(outcome: Outcome, effort: str, place: Path) -> None:
    """Give each secret to commands that leave files, and look for it in every byte of these."""
    whole = train(place / "run")
    commands = {
        "train": ["train", *SMALL, "figures=none"],
        "sweep": ["train", "-m", "seed=0,1", *SMALL, "figures=none", "launcher=inline"],
        "search": [
            "train",
            "-m",
            "model.width=int(interval(2,4))",
            "hydra/sweeper=search",
            "search.trials=1",
            *SMALL,
            "launcher=inline",
        ],
        "lif": ["lif", "figures=[]"],
        "relu_approximation": ["relu_approximation", "n=2", "method=uniform", "figures=[]"],
        "evaluate": ["evaluate", str(whole)],
        "reproduce": ["reproduce", str(whole)],
        "report": ["report", str(whole)],
    }
    given = GIVEN[:: {"short": 8, "quick": 1, "long": 1}[effort]]
    for name, words in (
        commands.items() if effort == "long" else list(commands.items())[: 1 if effort == "short" else 4]
    ):
        for form in outcome.mine(given):
            logs = place / "logs"
            told = run(
                [*words, *form.format(SECRET).split(" " if form.startswith("--") else "\0"), f"paths.logs={logs}"]
            )
            found = [str(path.relative_to(place)) for root in (logs, place / "run") for path in _holding(root)]
            outcome.note(not found and told.is_clean, f"{name} {form}: {told.code} in {found} {told.err[-200:]}")
            shutil.rmtree(logs, ignore_errors=True)
    home = place / "home"
    for file in OF_HOME:
        (home / file).parent.mkdir(parents=True, exist_ok=True)
        (home / file).write_text(f"machine host login me password {SECRET}\n")
    surroundings = {
        "secrets in its environment": dict.fromkeys(ENVIRONMENT, SECRET),
        "secrets in git's config": OF_GIT,
        "secrets at home": {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")},
    }
    for name, words in outcome.mine(list(commands.items())[: 2 if effort == "short" else None]):
        for kind, variables in surroundings.items():
            logs = place / "logs"
            told = run([*words, f"paths.logs={logs}"], lambda: os.environ.update(variables))
            found = [str(path) for root in (logs, place / "run") for path in _holding(root)]
            outcome.note(not found and SECRET not in told.out + told.err, f"{name} with {kind}: {found}")
            shutil.rmtree(logs, ignore_errors=True)


def _holding(root: Path) -> list[Path]:
    return [
        path
        for path in root.rglob("*")
        if SECRET in path.name or path.is_file() and SECRET.encode() in path.read_bytes()
    ]
