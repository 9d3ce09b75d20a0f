"""Simulate a LIF neuron beside its exact solution and draw it: scripts/lab lif neuron.resistance_kohm=5 input=noise"""

from mlplab.cli.app import script

if __name__ == "__main__":
    script("lif")
