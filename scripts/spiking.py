"""Run a trained ReLU network as spiking neurons: scripts/lab spiking logs/train/RUN neuron.tau_ref_ms=1"""

import sys

from mlplab.cli.app import program

if __name__ == "__main__":
    sys.exit(program(["spiking", *sys.argv[1:]]))
