"""The list of messages is whole and true: each input brings the words below it, and no InputError is left out."""

import pytest
from messages import FILES, Stage, read, sites


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each row of each file brings now."""
    with Stage(tmp_path_factory.mktemp("messages").resolve() / "stage").open() as stage:
        return {path: [stage.told(row) for row in read(path)] for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_input_brings_its_message(told, path):
    """Where one has changed on purpose, ``python tests/messages.py`` writes the words anew."""
    listed = read(path)
    assert len(listed) > 10
    for before, now in zip(listed, told[path]):
        assert now.words == before.words, "\n".join(before.lines)


def test_every_message_is_listed(told):
    """A new InputError needs a row in tests/messages/, with an input that brings it."""
    brought = set().union(*(row.sites for rows in told.values() for row in rows))
    left = {f"{file}:{line}": words for (file, line), (_, words) in sites().items() if (file, line) not in brought}
    assert not left


def test_messages_are_one_short_line_each(told):
    for rows in told.values():
        for row in rows:
            assert row.words and row.words == row.words.strip() and len(row.words) < 700, row.lines
