"""Try the lab's promises under faults: scripts/lab faults quick kills"""

import sys

from mlplab.cli.app import program

if __name__ == "__main__":
    sys.exit(program(["faults", *sys.argv[1:]]))
