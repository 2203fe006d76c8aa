"""The museum: releases that computed wrong numbers, each with a healthy neighbour, and the suite run on both."""
