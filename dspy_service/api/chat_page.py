"""Serves the chat page: static files, and the rules by which a browser runs them."""

from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

_FOLDER: Final = Path(__file__).with_name("page")
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}


def install(app: FastAPI) -> None:
    """Add ``GET /chat`` and its files; the page itself is public, what it asks for needs the reader's key."""
    app.mount("/chat-assets", StaticFiles(directory=_FOLDER), name="chat-assets")

    async def page() -> FileResponse:
        return FileResponse(_FOLDER / "chat.html", headers=_HEADERS)

    app.add_api_route("/chat", page, include_in_schema=False)
