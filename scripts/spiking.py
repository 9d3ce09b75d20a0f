"""Run a trained ReLU network as spiking neurons: scripts/lab spiking logs/train/RUN neuron.tau_ref_ms=1"""

from mlplab.cli.app import script

if __name__ == "__main__":
    script("spiking")
