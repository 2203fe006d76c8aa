"""Are the stored baselines complete, and do the documents agree with them?"""
