"""`python -m tests.meta.faults.telling` prints the momentum that a BatchNormalization has by default."""

import keras

if __name__ == "__main__":
    print(keras.layers.BatchNormalization().momentum)
