"""Evaluate a run from its folder alone: scripts/lab evaluate RUN_FOLDER data.noise=0.3"""

import sys

from mlplab.cli.app import program

if __name__ == "__main__":
    sys.exit(program(["evaluate", *sys.argv[1:]]))
