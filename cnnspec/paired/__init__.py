"""Paired trainings: weights, order of samples and batches are given, so that stacks differ from each other by rounding."""
