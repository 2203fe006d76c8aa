"""Files of every kind, damaged in every way: what a reader may do with them, and what a killed writer may leave."""
