"""The API key that a client sends, if it has one."""

import os
from collections.abc import Mapping

ENVIRONMENT_VARIABLE = "DSPY_SERVICE_API_KEY"


def headers_with(api_key: str | None) -> Mapping[str, str]:
    """Return the headers of every request; without an ``api_key``, the environment's is taken."""
    found = os.environ.get(ENVIRONMENT_VARIABLE) if api_key is None else api_key
    return {"Authorization": f"Bearer {found}"} if found else {}
