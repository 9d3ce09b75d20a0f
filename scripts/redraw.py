"""Draw a run's figures again: scripts/lab redraw RUN [FIGURE ...] [format=pdf,svg] [size=column]"""

from mlplab.cli.app import script

if __name__ == "__main__":
    script("redraw")
