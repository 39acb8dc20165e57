"""Source text that is submitted to a runner; never imported."""
