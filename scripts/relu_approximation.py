"""Approximate a function by ReLUs: scripts/lab relu_approximation target=exp method=minimax n=17"""

import sys

from mlplab.cli.app import program

if __name__ == "__main__":
    sys.exit(program(["relu_approximation", *sys.argv[1:]]))
