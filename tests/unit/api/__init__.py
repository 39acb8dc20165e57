"""Unit tests of the HTTP API, over the adapters in memory."""
