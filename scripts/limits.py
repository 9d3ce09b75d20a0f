"""Say what training points allow: scripts/lab limits [RUN_FOLDER] [data.points_per_arm=100]"""

import sys

from mlplab.cli.app import program

if __name__ == "__main__":
    sys.exit(program(["limits", *sys.argv[1:]]))
