"""Write labels and probabilities for the rows of a file: scripts/lab predict RUN_FOLDER data.path=new.csv"""

from mlplab.cli.app import script

if __name__ == "__main__":
    script("predict")
