"""Are the stored baselines whole, and do the documents say what they hold?"""
