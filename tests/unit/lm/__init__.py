"""Unit tests of the language models."""
