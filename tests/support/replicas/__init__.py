"""Data-parallel training: several replicas, each with its part of the batch, have to equal one device with the whole batch."""
