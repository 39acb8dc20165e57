"""Programs as models, as OpenAI's own client sees them."""
