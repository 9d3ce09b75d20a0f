"""The lab beside other systems, measured in turn."""
