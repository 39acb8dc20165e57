"""Confinement of the process that runs submitted code."""
