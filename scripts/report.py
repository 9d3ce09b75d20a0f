"""Report on sweeps: scripts/lab report SWEEP_FOLDER [SWEEP_FOLDER ...] [paths.logs=DIR]"""

import gc
import sys

from mlplab.cli.app import main

if __name__ == "__main__":
    gc.disable()  # all that a report makes lives to its end: a twentieth of its time went into looking for cycles
    sys.exit(main(["report", *sys.argv[1:]]))
