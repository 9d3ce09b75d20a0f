"""Train a recorded run again and compare: scripts/lab reproduce RUN_FOLDER"""

import sys

from mlplab.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["reproduce", *sys.argv[1:]]))
