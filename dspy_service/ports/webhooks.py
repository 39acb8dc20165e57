"""Telling others that a job has ended."""

from typing import Protocol

from dspy_service.domain.webhook import Delivery, DeliveryAnswer


class WebhookQueue(Protocol):
    """Deliveries that are still to be made; the step that ends a job puts its delivery here."""

    async def due_deliveries(self, *, lease_seconds: float, limit: int = 20) -> list[Delivery]:
        """Return deliveries to try now; nobody else gets them for ``lease_seconds``."""
        ...

    async def delivered(self, delivery_id: str, *, problem: str | None = None) -> None:
        """Forget a delivery: it was made, or given up; then the record shows the ``problem``."""
        ...

    async def put_off(self, delivery_id: str, *, seconds: float, problem: str | None = None) -> None:
        """Try a delivery again in ``seconds``; counts the try, and the record shows the ``problem`` meanwhile."""
        ...


class WebhookSender(Protocol):
    """Posts over HTTP."""

    async def post(self, url: str, *, body: bytes, headers: dict[str, str]) -> DeliveryAnswer:
        """Post once, and say what came of it; never raises for what the other side does.

        Raises:
            ForbiddenAddressError: the host stands for an address that must not be called.
        """
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...
