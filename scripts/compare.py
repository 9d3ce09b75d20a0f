"""Compare runs or sweeps: scripts/lab compare A B [C ...]"""

from mlplab.cli.app import script

if __name__ == "__main__":
    script("compare")
