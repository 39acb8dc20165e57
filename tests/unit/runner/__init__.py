"""The runner's parts, each alone."""
