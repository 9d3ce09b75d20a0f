"""Compare runs or sweeps: scripts/lab compare A B [C ...]"""

import sys

from mlplab.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
