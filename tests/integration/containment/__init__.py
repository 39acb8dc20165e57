"""Attacks on the confinement of submitted code, through the real launcher."""
