"""`--device each`: the sharp tiers on every GPU or on every core, one process for each, and which one is the odd one out."""
