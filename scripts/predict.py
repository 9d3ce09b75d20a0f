"""Write labels and probabilities for the rows of a file: scripts/lab predict RUN_FOLDER data.path=new.csv"""

import sys

from mlplab.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
