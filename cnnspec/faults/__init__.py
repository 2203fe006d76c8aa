"""What the stored catalogue of faults shows: which faults the suite catches, where and how soon, and which it misses."""
