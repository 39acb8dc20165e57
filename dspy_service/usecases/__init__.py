"""What the service does, one verb per module: plain functions that take ports as keywords."""
