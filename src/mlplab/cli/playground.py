"""Write the playground: a page that trains networks in the browser, beginning with a setting or a run's."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from mlplab.pages import page
from mlplab.runs.folder import open_run
from mlplab.words import is_option, short_path


def write_playground(words: Sequence[str]) -> int:
    """Write the page and print its path: ``playground [RUN_FOLDER] [KEY=VALUE ...]``; nothing is opened.

    Args:
        words: a run folder, whose settings the page begins with and which it is written into, and options as those of
            train, by which it begins elsewhere. Without a folder it is written into the folder of all logs.

    Returns:
        0.

    Raises:
        InputError: an option is wrong, or the folder is that of no run.
    """
    from mlplab.cli.runs import logs_of
    from mlplab.config import composition as configs
    from mlplab.hydra_names import readable
    from mlplab.runs.find import run_folder

    words = list(words)
    named = words.pop(0) if words and not is_option(words[0]) and not words[0].startswith("-") else None
    words = list(map(readable, words))
    if named is not None:
        folder = open_run(run_folder(named, logs_of(words), "train")).path
        config = (
            configs.override(configs.load_recorded(folder / "config.yaml"), words)
            if words
            else configs.load_recorded(folder / "config.yaml")
        )
    else:
        config = configs.compose("train", words)
        folder = Path(config.paths.logs)
    print(short_path(page.write_playground(folder, OmegaConf.to_container(config))))
    return 0
