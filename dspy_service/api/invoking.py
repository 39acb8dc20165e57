"""From a request to the run of a program that it asks for."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import JsonValue

from dspy_service.api.callers import Invoker
from dspy_service.api.services import TheServices
from dspy_service.bootstrap import Services
from dspy_service.domain.keys import Caller
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import OnDisconnect, RunOptions
from dspy_service.usecases.serving.start_run import Invocation


@dataclass(frozen=True)
class Invoking:
    """Whoever calls a program, with what of the request counts for its run."""

    caller: Caller
    request: Request
    services: Services
    idempotency_key: str | None

    def invocation(
        self,
        version: ProgramVersion,
        inputs: Mapping[str, JsonValue],
        *,
        body: bytes,
        options: RunOptions | None = None,
        on_disconnect: OnDisconnect = "cancel",
        inputs_path: str = "",
    ) -> Invocation:
        """Return what ``start_run`` takes; a key that is sent again must come with this path and body."""
        settings = self.services.settings
        path: str = self.request.scope["path"]
        asked = hashlib.sha256(path.removeprefix("/v1").encode() + b"\0" + body)
        return Invocation(
            tenant=self.caller.tenant,
            version=version,
            inputs=inputs,
            options=options or RunOptions(),
            on_disconnect=on_disconnect,
            key_id=self.caller.key_id,
            idempotency_key=self.idempotency_key,
            body_sha256=asked.hexdigest(),
            max_live_runs=self._limit(settings.max_live_runs),
            max_conversations=self.max_conversations,
            max_messages=self._limit(settings.max_messages_per_conversation),
            inputs_path=inputs_path,
        )

    @property
    def max_conversations(self) -> int:
        """How many conversations the tenant may have; 0: any number."""
        return self._limit(self.services.settings.max_conversations)

    def _limit(self, most: int) -> int:
        return 0 if self.caller.is_open else most


async def _invoking(
    caller: Invoker,
    request: Request,
    services: TheServices,
    idempotency_key: Annotated[
        str | None, Header(description="Makes a repeated request of the same body answer with the first one's run.")
    ] = None,
) -> Invoking:
    return Invoking(caller, request, services, idempotency_key)


TheInvoking = Annotated[Invoking, Depends(_invoking)]
"""The argument by which a route asks for it; it admits the caller, so it stands first."""
