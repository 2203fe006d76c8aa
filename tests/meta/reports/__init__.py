"""Tests of the report, its table and its page."""
