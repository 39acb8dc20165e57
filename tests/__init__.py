"""Tests of the whole platform; what each folder is for is in STYLE.md."""
