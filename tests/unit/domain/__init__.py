"""Unit tests of the domain: pure functions, no I/O."""
