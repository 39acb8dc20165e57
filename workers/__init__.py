"""Everything that computes: the worker, its sandboxed children and their language models."""
