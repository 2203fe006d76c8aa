"""Tests of `cnnspec soak`: faults that strike rarely, imitated; its bounds; and the command with a made-up process."""
