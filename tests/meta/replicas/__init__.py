"""Tests of the replicas' tier: what is wrong has to turn it red, with a message that names the cause."""
