"""Report on sweeps: scripts/lab report SWEEP_FOLDER [SWEEP_FOLDER ...] [paths.logs=DIR]"""

import gc
import sys

from mlplab.cli.app import program

if __name__ == "__main__":
    gc.disable()  # all that a report makes lives to its end: a twentieth of its time went into looking for cycles
    sys.exit(program(["report", *sys.argv[1:]]))
