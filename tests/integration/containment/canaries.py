"""What an attack must not reach: listeners that remember, files with a secret, a folder that anybody may write in."""

import contextlib
import os
import secrets
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECRET = (secrets.token_hex(8), secrets.token_hex(8))
"""In two halves: whoever has them apart does not have the secret."""


@dataclass
class Canaries:
    """Where everything is, and what was touched."""

    folder: Path
    facts: dict[str, Any]
    seen: list[str] = field(default_factory=list)

    def files(self) -> dict[str, bytes]:
        """Return every file of the folder with its contents; sockets are empty."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes() if path.is_file() else b""
            for path in sorted(self.folder.rglob("*"))
        }


@contextlib.contextmanager
def canaries(folder: Path) -> Iterator[Canaries]:
    """Put them up in ``folder``, which everybody may enter, so that only confinement is in the way."""
    writable = folder / "writable"
    writable.mkdir()
    writable.chmod(0o777)
    (folder / "home").mkdir(mode=0o755)
    for name in ("artifact", "settings", "home/note", "writable/scratch"):
        path = folder / name
        path.write_text("".join(SECRET))
        path.chmod(0o666 if name.startswith("writable") else 0o644)
    sockets, facts = _listeners(folder)
    facts |= {name: str(folder / name) for name in ("artifact", "settings", "home")}
    facts |= {"scratch": str(writable / "scratch"), "writable": str(writable), "secret": list(SECRET)}
    put_up = Canaries(folder, facts)
    wake_read, wake_write = os.pipe()
    watcher = threading.Thread(target=_watch, args=(sockets, wake_read, put_up.seen), daemon=True)
    watcher.start()
    try:
        yield put_up
    finally:
        os.close(wake_write)
        watcher.join()
        os.close(wake_read)
        for sock in sockets.values():
            sock.close()


def _listeners(folder: Path) -> tuple[dict[str, socket.socket], dict[str, Any]]:
    name = f"containment-{secrets.token_hex(6)}"
    addresses: dict[str, tuple[int, int, Any]] = {
        "tcp": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
        "udp": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
        "abstract": (socket.AF_UNIX, socket.SOCK_STREAM, f"\0{name}"),
        "abstract_datagram": (socket.AF_UNIX, socket.SOCK_DGRAM, f"\0{name}-d"),
        "path_socket": (socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "stream.sock")),
        "path_datagram": (socket.AF_UNIX, socket.SOCK_DGRAM, str(folder / "datagram.sock")),
    }
    sockets, facts = {}, {}
    for title, (family, kind, address) in addresses.items():
        sock = socket.socket(family, kind)
        sock.bind(address)
        if kind == socket.SOCK_STREAM:
            sock.listen()
        if title.startswith("path"):
            Path(address).chmod(0o777)
        sockets[title] = sock
        facts[title] = list(sock.getsockname()) if family == socket.AF_INET else address.removeprefix("\0")
    return sockets, facts


def _watch(sockets: dict[str, socket.socket], wake: int, seen: list[str]) -> None:
    names = {sock.fileno(): name for name, sock in sockets.items()}
    while True:
        ready, _, _ = select.select([*names, wake], [], [])
        if wake in ready:
            return
        for number in ready:
            seen.append(names[number])
            sock = sockets[names[number]]
            if sock.type == socket.SOCK_STREAM:
                sock.accept()[0].close()
            else:
                sock.recv(100)
