"""The catalogue of faults: ways in which a stack can be wrong: story, source and the word that tells each."""
