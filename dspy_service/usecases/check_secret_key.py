"""Makes sure that every process of one service holds the same secret key."""

import hashlib
import hmac

from dspy_service.domain.errors import ConfigurationError
from dspy_service.ports import JobStore

_NAME = "secret_key_fingerprint"
_PURPOSE = b"dspy-service/secret-key-fingerprint/1"


async def check_secret_key(secret_key: bytes, *, jobs: JobStore) -> None:
    """Compare the key with the one that this store was first used with; the first process decides.

    The store keeps a fingerprint, from which the key cannot be found. Without this check, a second machine with a key
    of its own would call every artifact of the first corrupt, and every API key unknown.

    Raises:
        ConfigurationError: another key was used before.
        StoreUnavailableError: the store could not be asked.
    """
    fingerprint = hmac.digest(secret_key, _PURPOSE, hashlib.sha256).hex()
    if not hmac.compare_digest(await jobs.pin(_NAME, fingerprint), fingerprint):
        message = (
            "This process has another secret key than the one that its job store was first used with; set "
            "DSPY_SERVICE_SECRET_KEY to that one, or give both the same DSPY_SERVICE_DATA_DIR."
        )
        raise ConfigurationError(message)
