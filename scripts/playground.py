"""Write the playground page and print its path: scripts/lab playground [RUN_FOLDER] [KEY=VALUE ...]"""

from mlplab.cli.app import script

if __name__ == "__main__":
    script("playground")
