"""Tests of the forms in which readers get events."""
