"""Train one network, or a sweep with -m: scripts/lab train model.width=64 seed=1"""

import sys

from mlplab.cli.app import program

if __name__ == "__main__":
    sys.exit(program(["train", *sys.argv[1:]]))
