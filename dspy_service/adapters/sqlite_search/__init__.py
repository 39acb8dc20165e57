"""Collections in SQLite: one file for each, words in FTS5, vectors compared exactly in memory."""
