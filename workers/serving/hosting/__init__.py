"""Programs that only their own code can rebuild, served from confined processes of their own."""
