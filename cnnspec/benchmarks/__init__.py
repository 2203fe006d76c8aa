"""How fast an epoch is, and how close to the limits of the hardware."""
