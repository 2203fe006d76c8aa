"""The mutation score: small changes of the code, one at a time, each of which a test must notice."""
