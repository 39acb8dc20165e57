"""Fixtures that every contract test may ask for."""

from tests.support.valkey import raw_redis, redis_url, valkey_server

__all__ = ["raw_redis", "redis_url", "valkey_server"]
