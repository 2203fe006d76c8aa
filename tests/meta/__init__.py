"""Tests of the suite itself: does each check fail when it should, and is what is stored and said true?"""
