"""The HTTP API: it translates between requests and use cases, and knows every HTTP status."""
