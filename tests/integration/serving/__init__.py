"""Integration tests of serving."""
