"""Measurements. Nothing here is a test: figures depend on the machine, so they are printed, never asserted."""
