"""The ports on Redis (or Valkey): atomic scripts, all times from the server's own clock, one hash tag."""
