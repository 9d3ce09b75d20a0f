"""Write labels and probabilities for the rows of a file: scripts/lab predict RUN_FOLDER data.path=new.csv"""

import sys

from mlplab.cli.app import program

if __name__ == "__main__":
    sys.exit(program(["predict", *sys.argv[1:]]))
