"""Faults on real processes: workers that are killed, told to end or frozen, over a real store and a real provider."""
