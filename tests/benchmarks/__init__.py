"""How long is an epoch, and what makes it so: asked for by --benchmark-enable (tox run -e bench)."""
