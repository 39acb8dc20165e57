"""Unit tests of the confined process that serves one program."""
