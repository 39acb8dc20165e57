"""Shares the running platform between the tests of this folder."""

from tests.support.seed_service import seeds
from tests.support.service import service

__all__ = ["seeds", "service"]
