"""The lab's promises under faults: kills, full disks, signals, damaged files, hostile words; tried and counted."""
