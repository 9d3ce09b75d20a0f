"""Say what training points allow: scripts/lab limits [RUN_FOLDER] [data.points_per_arm=100]"""

import sys

from mlplab.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["limits", *sys.argv[1:]]))
