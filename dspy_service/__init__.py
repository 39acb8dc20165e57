"""DSPy as a Service: everything that is not compute; nothing here imports dspy."""
