"""Simulate a LIF neuron beside its exact solution and draw it: scripts/lab lif neuron.resistance_kohm=5 input=noise"""

import sys

from mlplab.cli.app import program

if __name__ == "__main__":
    sys.exit(program(["lif", *sys.argv[1:]]))
