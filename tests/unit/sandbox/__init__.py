"""Confinement, without a runner."""
