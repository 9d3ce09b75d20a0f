"""Measure the lab against other systems: scripts/lab benchmark train"""

import sys

from mlplab.cli.app import program

if __name__ == "__main__":
    sys.exit(program(["benchmark", *sys.argv[1:]]))
