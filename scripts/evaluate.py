"""Evaluate a run from its folder alone: scripts/lab evaluate RUN_FOLDER data.noise=0.3"""

import sys

from mlplab.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
