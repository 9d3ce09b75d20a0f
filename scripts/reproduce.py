"""Train a recorded run again and compare: scripts/lab reproduce RUN_FOLDER"""

import sys

from mlplab.cli.app import program

if __name__ == "__main__":
    sys.exit(program(["reproduce", *sys.argv[1:]]))
