"""Say what training points allow: scripts/lab limits [RUN_FOLDER] [data.points_per_arm=100]"""

from mlplab.cli.app import script

if __name__ == "__main__":
    script("limits")
