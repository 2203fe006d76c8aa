"""Where the framework computes: what is asked for, what is there, what Keras uses of it, and in which precision."""
