"""The serving side of a worker: loads deployed programs, runs them on one event loop, and tells what they write."""
