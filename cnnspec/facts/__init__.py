"""The notebook's facts, and how baselines are read."""
