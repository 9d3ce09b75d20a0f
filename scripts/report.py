"""Report on sweeps: scripts/lab report SWEEP_FOLDER [SWEEP_FOLDER ...] [paths.logs=DIR]"""

from mlplab.cli.app import script

if __name__ == "__main__":
    script("report")
