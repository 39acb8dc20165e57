"""What serving does: one verb per module."""
