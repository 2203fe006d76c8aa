"""Data-parallel training: several replicas with a part of the batch each have to equal one device."""
