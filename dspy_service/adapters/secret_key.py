"""The service's one secret of its own: it signs artifacts and peppers the hashes of API keys.

It is the text of ``SECRET_KEY``, else the text in ``DATA_DIR/secret.key``, which the first process to start writes. The
same text is the same key either way, so that ``SECRET_KEY="$(cat data/secret.key)"`` takes it to another machine.
"""

import os
import secrets
import stat
from pathlib import Path

from dspy_service.config import MIN_SECRET_CHARS, Settings
from dspy_service.domain.errors import ConfigurationError

FILE_NAME = "secret.key"

_RANDOM_BYTES = 32  # as wide as the digest that it keys
_READABLE_BY_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MAX_BYTES = 4096
_WHAT_TO_DO = "set DSPY_SERVICE_SECRET_KEY (the same in every process)"


def load_secret_key(settings: Settings) -> bytes:
    """Return the key, and make it when there is none yet.

    Raises:
        ConfigurationError: the file cannot be made or read, others may read it, or what it holds is too short.
    """
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    path = settings.data_dir / FILE_NAME
    try:
        return _read(path)
    except FileNotFoundError:
        _create(path)
    except OSError as error:
        raise ConfigurationError(f"The key {str(path)!r} cannot be read ({error.strerror}); {_WHAT_TO_DO}.") from error
    return _read(path)


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_mode & _READABLE_BY_OTHERS:
            raise ConfigurationError(
                f"The key {str(path)!r} has mode {stat.filemode(found.st_mode)}: others may read it. Take that away "
                f"(chmod 600), or if it may be known, delete it or {_WHAT_TO_DO}."
            )
        key = file.read(_MAX_BYTES).strip()
    if len(key) < MIN_SECRET_CHARS:
        raise ConfigurationError(f"The key {str(path)!r} is shorter than {MIN_SECRET_CHARS} characters; {_WHAT_TO_DO}.")
    return key


def _create(path: Path) -> None:
    """Write a new key unless another process is faster; whoever looks sees a whole file or none."""
    temporary = path.with_name(f".{FILE_NAME}-{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{secrets.token_hex(_RANDOM_BYTES)}\n")
                file.flush()
                os.fsync(file.fileno())  # artifacts that it signs outlive this process
            path.hardlink_to(temporary)  # unlike a rename, this replaces nothing
        finally:
            temporary.unlink()
    except FileExistsError:
        return  # another process was faster
    except OSError as error:
        raise ConfigurationError(f"The key {str(path)!r} cannot be made ({error.strerror}); {_WHAT_TO_DO}.") from error
