"""A dimension of a search from the words of the command line."""

from hydra.core.override_parser.overrides_parser import OverridesParser

from mlplab.search.space import read_dimension


def dimension(text, default=None, groups=None):
    return read_dimension(text, OverridesParser.create().parse_override(text), default, groups)
