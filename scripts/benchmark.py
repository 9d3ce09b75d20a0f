"""Measure the lab against other systems: scripts/lab benchmark train"""

import sys

from mlplab.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", *sys.argv[1:]]))
