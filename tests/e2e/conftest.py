"""Shares the running platform between the tests of this folder."""

from tests.support.service import service

__all__ = ["service"]
