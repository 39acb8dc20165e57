"""Tests: the domain of search."""
