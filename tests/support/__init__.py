"""What the tests share: comparisons with their messages, models opened up, trainings, snapshots."""
