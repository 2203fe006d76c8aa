"""Tests of --device each: the devices that it stands for, their runs, and the odd one out."""
