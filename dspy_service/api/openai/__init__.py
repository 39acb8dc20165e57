"""Programs as models of OpenAI's API: what its clients send, and the objects that they read."""
