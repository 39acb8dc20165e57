"""Output fields while a language model still writes them: text deltas in, tokens of fields out; pure."""
