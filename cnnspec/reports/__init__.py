"""What a run of the suite found, as a file, a table and a page."""
