"""The parent of one job, with scripted runners."""
