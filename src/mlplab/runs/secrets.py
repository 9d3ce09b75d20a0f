"""Secrets on a command line: found by the name of their key, and kept out of what is recorded."""

import re
from collections.abc import Sequence

_SECRET = (
    r"(?:token(?!i[sz])|passw(?:or)?d|passphrase|secret|authorization|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|(?<![a-z])(?:pwd|pass|auth|bearer|credentials?)(?![a-z]))"
)
_SECRET_KEY = re.compile(_SECRET, re.IGNORECASE)
_VALUE = r"""(?:"[^"]*"|'[^']*'|\[[^\]]*\]|\{[^}]*\}|[^,}\]]+)"""
_SECRET_PAIR = re.compile(rf"""(?i)([\w.\-]{{0,60}}{_SECRET}[\w\-]{{0,60}}["']?\s*[:=]\s*)({_VALUE})""")
_URL_PASSWORD = re.compile(r"(\w{1,20}://[^/\s:@]{0,200}:)[^/\s@]{1,200}@")
# Lengths are bounded so that a word of 100,000 letters takes no time.
# Values that are no secret: nothing, null, a truth value, a small number such as that of a width.
_HARMLESS = re.compile(r"""\s*["']?(?:null|true|false|[-+]?\d{1,6}|\*\*\*)?["']?\s*""", re.IGNORECASE)


def secret_in(word: str) -> str | None:
    """Name the key of the secret that a word of a command line gives, or None where it gives none.

    Args:
        word: such as ``+model.token=abc`` or ``+model.options={auth: abc}``.
    """
    key, equals, value = word.partition("=")
    key = key.lstrip("+~-")
    if equals and _SECRET_KEY.search(re.split(r"[./@]", key)[-1]) and not _HARMLESS.fullmatch(value):
        return key
    for pair in _SECRET_PAIR.finditer(value) if _SECRET_KEY.search(value) else ():
        if not _HARMLESS.fullmatch(pair[2]):
            return f"{key}: {pair[1].rstrip(' :=')}"
    return f"{key}: the address" if "://" in word and _URL_PASSWORD.search(word) else None


def without_secrets(argv: Sequence[str]) -> list[str]:
    """Replace by ``***`` what stands behind a key that looks like a token, password, secret or API key.

    Knows ``key=value``, ``--key value``, ``--key=value``, ``{key: value}`` and ``scheme://user:password@``.
    """
    cleaned = []
    hide_next = False
    for word in map(str, argv):
        key, equals, _ = word.partition("=")
        if hide_next and not word.startswith("-"):
            cleaned.append("***")
        elif equals and _SECRET_KEY.search(key):
            cleaned.append(f"{key}=***")
        else:
            cleaned.append(
                _URL_PASSWORD.sub(r"\1***@", _SECRET_PAIR.sub(r"\1***", word) if _SECRET_KEY.search(word) else word)
            )
        hide_next = word.startswith("-") and not equals and bool(_SECRET_KEY.search(word))
    return cleaned
