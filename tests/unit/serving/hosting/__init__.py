"""Unit tests of the serving process's side of a host."""
