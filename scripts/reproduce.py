"""Train a recorded run again and compare: scripts/lab reproduce RUN_FOLDER"""

from mlplab.cli.app import script

if __name__ == "__main__":
    script("reproduce")
