"""Unit tests of the use cases, over the adapters in memory."""
