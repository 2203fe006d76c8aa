"""Is it true what is said of devices? On imitated machines: none of these tests needs an accelerator."""
