"""How fast an epoch is, and how close to what the hardware can do."""
