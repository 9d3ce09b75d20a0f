"""Write the playground page and print its path: scripts/lab playground [RUN_FOLDER] [KEY=VALUE ...]"""

import sys

from mlplab.cli.app import program

if __name__ == "__main__":
    sys.exit(program(["playground", *sys.argv[1:]]))
