"""The parent of one job, with real runners."""
