"""List, find and clean up runs: scripts/lab runs [list|best|clean] [KEY=VALUE ...]"""

from mlplab.cli.app import script

if __name__ == "__main__":
    script("runs")
