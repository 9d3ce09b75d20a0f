"""Evaluate a run from its folder alone: scripts/lab evaluate RUN_FOLDER data.noise=0.3"""

from mlplab.cli.app import script

if __name__ == "__main__":
    script("evaluate")
