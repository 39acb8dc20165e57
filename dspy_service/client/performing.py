"""How a part of the client asks the client to do something."""

from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import Any, Protocol, TypeVar

from dspy_service.client.following import EventT, StreamFollowing
from dspy_service.client.plans import Plan

T = TypeVar("T")


class Runs(Protocol):
    """Carries out a plan, blocking."""

    def __call__(self, plan: Plan[T]) -> T:
        """Return what the plan comes to."""
        ...


class RunsAsynchronously(Protocol):
    """Carries out a plan on the event loop."""

    def __call__(self, plan: Plan[T]) -> Coroutine[Any, Any, T]:
        """Return what the plan comes to."""
        ...


class Follows(Protocol):
    """Reads a stream to its end, blocking."""

    def __call__(self, following: StreamFollowing[EventT]) -> Generator[EventT, None, None]:
        """Yield what it tells."""
        ...


class FollowsAsynchronously(Protocol):
    """Reads a stream to its end on the event loop."""

    def __call__(self, following: StreamFollowing[EventT]) -> AsyncGenerator[EventT, None]:
        """Yield what it tells."""
        ...
