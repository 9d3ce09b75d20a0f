"""List, find and clean up runs: scripts/lab runs [list|best|clean] [KEY=VALUE ...]"""

import gc
import sys

from mlplab.cli.app import program

if __name__ == "__main__":
    gc.disable()  # all that a list makes lives to its end
    sys.exit(program(["runs", *sys.argv[1:]]))
