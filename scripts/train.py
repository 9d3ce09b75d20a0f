"""Train one network, or a sweep with -m: scripts/lab train model.width=64 seed=1"""

from mlplab.cli.app import script

if __name__ == "__main__":
    script("train")
