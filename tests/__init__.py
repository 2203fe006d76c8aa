# Epochs of each training in plain pytest: the fewest after which every fault of tests/meta/training_faults.py is caught.
EPOCHS = 3
