"""Tab completion: what ``-sc install=bash`` prints, for scripts/lab and mlplab and what follows their commands."""

import os
import re
from collections.abc import Sequence

from mlplab.errors import InputError

SCRIPT = """\
_mlplab() {{
    local IFS=$' \\t\\n' words=() word
    read -ra words <<< "${{COMP_LINE:0:COMP_POINT}}"
    case "${{COMP_LINE:0:COMP_POINT}}" in *[[:space:]]) words+=("") ;; esac
    word=${{words[${{#words[@]}}-1]}}
    if (( ${{#words[@]}} <= 2 )); then
        COMPREPLY=($(compgen -W "{commands}" -- "$word"))
        return
    fi
    case " {composed} " in *" ${{words[1]}} "*) ;; *) return ;; esac
    local line="mlplab"
    (( ${{#words[@]}} > 3 )) && line="$line ${{words[*]:2:${{#words[@]}}-3}}"
    COMPREPLY=($(compgen -W "$(COMP_LINE="$line $word" "${{words[0]}}" "${{words[1]}}" -sc query=bash 2>/dev/null)" -- "$word"))
}}
COMP_WORDBREAKS=${{COMP_WORDBREAKS//=}}
complete -o nospace -o default -F _mlplab lab scripts/lab ./scripts/lab mlplab"""
ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def completion_script(words: Sequence[str], commands: Sequence[str], composed: Sequence[str]) -> str | None:
    """Give what a shell is to evaluate, or None where Hydra itself answers a query.

    Args:
        words: what follows ``-sc``: ``install=bash``, ``uninstall=bash`` or ``query=bash`` and Hydra's overrides.
        commands: all that may follow the program's name.
        composed: those of them that take overrides.

    Raises:
        InputError: another word, or another shell.
    """
    what, _, shell = (words[0] if words else "").partition("=")
    if len(words) != 1 or what not in ("install", "uninstall", "query") or shell not in ("bash", "zsh"):
        given = " ".join(words) or "nothing"
        raise InputError(
            "--shell-completion (-sc) must be followed by install=bash, install=zsh, uninstall=bash or uninstall=zsh, "
            f'got {given}; for this shell: eval "$(scripts/lab train -sc install=bash)"'
        )
    if what == "query":
        if "COMP_LINE" not in os.environ:
            raise InputError(
                "--shell-completion (-sc) query=bash is asked by the shell, which says in COMP_LINE what is typed; got none"
            )
        return None
    if what == "uninstall":
        return "complete -r lab scripts/lab ./scripts/lab mlplab; unset -f _mlplab"
    script = SCRIPT.format(commands=" ".join(commands), composed=" ".join(composed))
    return (ZSH if shell == "zsh" else "") + script


def read_query(line: str) -> tuple[str, str, str | None]:
    """Take what Hydra's completion does not know out of the line that is typed so far.

    Returns:
        The line without the signs before its last word, these signs (``~``, ``+`` or ``++``), and what ``--config-dir``
        names.
    """
    marks = re.search(r"(?<=\s)(~|\+{1,2})(?=\S*$)", line)
    folders = re.findall(r"\s(?:--config-dir|-cd)(?:=|\s+)(\S+)(?=\s)", line)
    plain = line if marks is None else line[: marks.start()] + line[marks.end() :]
    return plain, "" if marks is None else marks[0], folders[-1] if folders else None


def with_marks(answer: str, marks: str) -> str:
    """Put the signs back before each word that Hydra offers; what ``~`` takes away has no value to be given."""
    if not marks:
        return answer
    words = answer.split()
    return " ".join(marks + (word.removesuffix("=") if marks == "~" else word) for word in words)
