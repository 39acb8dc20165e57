"""Programs that are deployed over HTTP by uploading their files."""

import json
from typing import Any

import httpx

from tests.support.compiled_programs import compiled_files

MODEL = {"name": "demo/in-context"}


def body(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    """Return a body that uploads a program; ``fields`` and ``files`` make the files, the rest stands beside them."""
    program, metadata = compiled_files(*changes.pop("fields", ()), **changes.pop("files", {}))
    return {
        "program": json.loads(program),
        "program_metadata": json.loads(metadata),
        "model_config": MODEL,
        **changes,
    }


async def deploy(client: httpx.AsyncClient, name: str = "answers", **changes: Any) -> httpx.Response:  # noqa: ANN401  # JSON
    return await client.post(f"/programs/{name}/versions", json=body(**changes))


async def three(client: httpx.AsyncClient) -> None:
    """Deploy three versions; ``production`` is the first."""
    for instructions in ("One.", "Two.", "Three."):
        await deploy(client, files={"instructions": instructions})
