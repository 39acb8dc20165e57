"""A small in-context learner that needs no network: `demo/in-context`, labelled for what it is.

`answering.answer` is the model: text in, text out. `engine` makes it a DSPy engine.
"""
