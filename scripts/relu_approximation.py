"""Approximate a function by ReLUs: scripts/lab relu_approximation target=exp method=minimax n=17"""

from mlplab.cli.app import script

if __name__ == "__main__":
    script("relu_approximation")
