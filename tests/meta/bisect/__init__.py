"""Tests of `cnnspec bisect`: with a made-up index and made-up environments, without a network."""
