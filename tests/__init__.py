"""The suite: one module per tier, cheapest first; benchmarks/, and what serves them: plugin/, support/, meta/."""
