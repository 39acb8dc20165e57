"""Integration tests of programs that are served from confined processes."""
