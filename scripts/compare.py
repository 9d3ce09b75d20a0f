"""Compare runs or sweeps: scripts/lab compare A B [C ...]"""

import sys

from mlplab.cli.app import program

if __name__ == "__main__":
    sys.exit(program(["compare", *sys.argv[1:]]))
