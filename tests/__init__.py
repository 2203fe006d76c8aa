# Epochs of each training in plain pytest: the fewest after which every fault of tests/meta/training_faults.py is caught and
# the declared false-alarm rate is kept, by the stored runs (baselines/ensembles/README.md).
EPOCHS = 4
