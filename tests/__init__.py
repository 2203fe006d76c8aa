EPOCHS = 2  # of each training in plain pytest; a measured choice, see tests/meta/test_stored_faults.py
