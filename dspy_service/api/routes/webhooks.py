"""``/webhooks``: what a receiver needs to know that a message is ours."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from dspy_service.api.answers import json_answer
from dspy_service.api.callers import Admin
from dspy_service.api.envelope import guarded
from dspy_service.api.services import TheServices
from dspy_service.domain.schema import Schema
from dspy_service.domain.webhook_message import tenant_secret, write_secret

router = APIRouter(prefix="/webhooks", tags=["keys"])


class WebhookSecret(Schema):
    """The answer of ``GET /webhooks/secret``."""

    secret: Annotated[
        str,
        Field(
            description="Give it to a library of https://www.standardwebhooks.com, which checks the headers "
            "`webhook-id`, `webhook-timestamp` and `webhook-signature` of each message.",
            examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaswMfKQ9r8GKYo="],
        ),
    ]


@router.get("/secret", summary="What signs your webhooks", response_model=WebhookSecret, responses=guarded())
async def secret(caller: Admin, services: TheServices) -> Response:
    """Return the secret of your own tenant; it is the same until the operator changes the service's `SECRET_KEY`."""
    found = WebhookSecret(secret=write_secret(tenant_secret(services.secret_key, caller.tenant)))
    return json_answer(found)
