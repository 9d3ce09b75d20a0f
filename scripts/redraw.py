"""Draw a run's figures again: scripts/lab redraw RUN [FIGURE ...] [format=pdf,svg] [size=column]"""

import sys

from mlplab.cli.app import program

if __name__ == "__main__":
    sys.exit(program(["redraw", *sys.argv[1:]]))
