"""What every port on Redis is made of: one client, and the proofs of the claims that were made through it."""

from collections import OrderedDict

from dspy_service.adapters.redis.client import RedisClient
from dspy_service.adapters.redis.key_names import SUBMITTED
from dspy_service.adapters.redis.submits import SubmitListener

_CLAIMS = 1024  # a process holds a handful at a time; far older ones have ended


class RedisPart:
    """A part of the job store; all parts of one store share its connections.

    A store that went back to an older state (a restored backup, a failover) may hand the same fence to a second worker.
    So each claim also draws a random epoch, which stands in the record. The store object that made the claim remembers
    it and sends it with every write of that fence; the scripts let nothing pass that names another one. A caller only
    ever sees the fence. Through another store object than the one that made the claim, the fence alone is checked.
    """

    def __init__(self, client: RedisClient, *, submitted: str = SUBMITTED) -> None:
        self._client = client
        self._submits = SubmitListener(client, submitted)
        self._epochs: OrderedDict[tuple[str, int], str] = OrderedDict()

    def _remember(self, job_id: str, fence: int, epoch: str) -> None:
        self._epochs[job_id, fence] = epoch
        self._epochs.move_to_end((job_id, fence))
        while len(self._epochs) > _CLAIMS:
            self._epochs.popitem(last=False)

    def _proof(self, job_id: str, fence: int) -> str:
        """Return ``<fence> <epoch>``, which ``holds`` in ``lua/prelude.lua`` compares with the record."""
        return f"{fence} {self._epochs.get((job_id, fence), '')}"
