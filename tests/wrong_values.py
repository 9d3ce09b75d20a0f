"""Values that a rule must refuse, by the words in which it says what is allowed."""

import math
import re

from mlplab.rules import Rule

# None of these is what any of the words below say.
KINDS = {
    "an integer": ["abc", "", 1.5, True, math.nan, {"a": 1}],
    "a number": ["abc", "", True, math.nan, math.inf, [1.0]],
    "true or false": ["yes please", 1, None],
    "one of": ["nope", 12345, None, True],
    "null": [0, ""],
    "a list": ["abc", 7],
    "a mapping": ["abc", 1, None, True, ["a"]],
}
OTHERS = ["", 3, ["a"]]
LIMITS = re.compile(
    r"(an integer|a number)(?: from (\S+) to ([^\s,]+)| (>=?) ([^\s,]+)(?: and (<=?) ([^\s,]+))?| (<=?) ([^\s,]+))"
)


def wrong_values(rule: Rule) -> list:
    """List values of other kinds than a rule's words name, and numbers just beyond the limits that they name."""
    if rule.allowed.startswith("a list"):
        entry = re.search(r"each entry (.*)", rule.allowed)[1]
        length = re.match(r"a list of (\d+),", rule.allowed)
        return [[value] * int(length[1] if length else 1) for value in of_words(entry)] + KINDS["a list"]
    return of_words(rule.allowed)


def of_words(words: str) -> list:
    kind = next((name for name in KINDS if words.startswith(name)), None)
    if ", or " in words or "also with a unit" in words:  # what one part refuses another may take
        return [[[[]]]]
    return KINDS.get(kind, OTHERS) + beyond(words)


def beyond(words: str) -> list:
    """Give the numbers nearest to the limits of an interval, as it is said, that lie outside of it."""
    found = LIMITS.match(words)
    if not found:
        return []
    kind, low, high, above, least, below, most, only, top = found.groups()
    step = 1 if kind == "an integer" else 0.1
    read = int if kind == "an integer" else float
    wrong = []
    if low is not None:
        wrong = [read(low) - step, read(high) + (step if step == 1 else max(step, abs(read(high))))]
    for sign, limit in ((above, least), (below, most), (only, top)):
        if limit is not None:
            value = read(limit)
            more = step if step == 1 else max(step, abs(value))
            wrong.append(value if sign in "<>" else value - more if ">" in sign else value + more)
    return wrong
