"""Collections of documents, and how they are searched."""
