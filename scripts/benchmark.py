"""Measure the lab against other systems: scripts/lab benchmark train"""

from mlplab.cli.app import script

if __name__ == "__main__":
    script("benchmark")
