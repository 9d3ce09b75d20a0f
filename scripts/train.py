"""Train one network, or a sweep with -m: scripts/lab train model.width=64 seed=1"""

import sys

from mlplab.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
