"""Try the lab's promises under faults: scripts/lab faults quick kills"""

from mlplab.cli.app import script

if __name__ == "__main__":
    script("faults")
