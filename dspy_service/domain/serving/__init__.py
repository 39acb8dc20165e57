"""Serving what was optimized: programs and their versions, runs and their events, conversations."""
