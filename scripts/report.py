"""Report on sweeps: scripts/lab report SWEEP_FOLDER [SWEEP_FOLDER ...] [paths.logs=DIR]"""

import sys

from mlplab.app import main

if __name__ == "__main__":
    sys.exit(main(["report", *sys.argv[1:]]))
