"""Which release of a package brought a difference? A binary search over releases, each in an environment of its own."""
