"""Opens one broker per attempt; what the worker's composition root hands to its supervisor."""

from typing import TYPE_CHECKING, Final

from dspy_service.domain.job import Claim
from dspy_service.ports import ArtifactStore, CallLedger, CallThrottle, JournalTail, ResponseCache
from workers.lm.answering import SharedAnswers
from workers.lm.broker import Broker
from workers.lm.call_counts import count_calls
from workers.lm.call_reporter import CallReporter
from workers.lm.durable_journal import DurableJournal
from workers.lm.engine import CallLimits
from workers.lm.gate import Gate
from workers.lm.job_models import JobModel, open_models
from workers.lm.meter import Meter
from workers.lm.provider_lines import ProviderLines
from workers.lm.registry import ModelRegistry

JOURNAL_BYTES: Final = 1 << 30


class BrokerDoors:
    """Makes brokers.

    Args:
        registry: Every model that this worker can reach.
        limits: Of every call.
        artifacts: Where journals are kept in the end.
        secret_key: Signs them there.
        journal_bytes: Of the answers of one job that are kept, some 400 bytes for a short one; of others, the cost is.
        cache: Answers that jobs of one tenant share; None: they share none.
        throttle: Divides what providers allow among all workers; None: nobody counts calls.
        ledger: Counters for operators; None: there are none.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        limits: CallLimits | None = None,
        *,
        artifacts: ArtifactStore,
        secret_key: bytes,
        journal_bytes: int = JOURNAL_BYTES,
        cache: ResponseCache | None = None,
        throttle: CallThrottle | None = None,
        ledger: CallLedger | None = None,
    ) -> None:
        self._registry = registry
        self._limits = limits or CallLimits()
        self._artifacts = artifacts
        self._secret_key = secret_key
        self._journal_bytes = journal_bytes
        self._cache = cache
        self._throttle = throttle
        self._ledger = ledger

    async def open(self, claim: Claim, *, tail: JournalTail, keeps_reserve: bool = True) -> Broker:
        """Return the broker of an attempt, with the journal of earlier ones; call it on the job's event loop.

        Args:
            claim: Whose fence every write to the journal names.
            tail: Where new answers are kept before the runner sees them.
            keeps_reserve: Whether the budget keeps something for the final evaluation.

        Raises:
            ModelCallError: a model is unknown or has no key, or has no price and the budget names money.
            ConfigurationError: a newer release wrote a part of the journal.
            StoreUnavailableError: the journal could not be read.
        """
        gate = Gate()
        lines = ProviderLines(self._throttle, tenant=claim.job.tenant, job_id=claim.job.job_id)
        gate.when_it_closes(lines.step_aside)
        models = await open_models(claim.spec, self._registry, self._limits, gate=gate, lines=lines)
        meter = Meter.of(models)
        try:
            journal = await DurableJournal.open(
                claim,
                tail=tail,
                artifacts=self._artifacts,
                secret_key=self._secret_key,
                max_bytes=self._journal_bytes,
                on_entry=meter.enter,
                on_totals=meter.enter_totals,
            )
        except BaseException:
            await _close(models)
            raise
        return Broker(
            models,
            journal,
            meter=meter,
            gate=gate,
            budget=claim.spec.budget,
            shared=self._shared(claim),
            reporter=self._reporter(claim, meter, models),
            keeps_reserve=keeps_reserve,
            waits=lines.waits,
        )

    def _reporter(self, claim: Claim, meter: Meter, models: dict[str, JobModel]) -> CallReporter | None:
        if self._ledger is None:
            return None
        engines = {id(model.engine): model.engine for model in models.values()}.values()
        name = f"{claim.job.job_id}:{claim.fence}"
        return CallReporter(self._ledger, name=name, count=lambda: count_calls(meter, engines))

    def _shared(self, claim: Claim) -> SharedAnswers | None:
        if self._cache is None or not claim.spec.cache:
            return None
        return SharedAnswers(self._cache, claim.job.tenant)


async def _close(models: dict[str, JobModel]) -> None:
    for engine in {id(model.engine): model.engine for model in models.values()}.values():
        await engine.aclose()


if TYPE_CHECKING:
    from workers.supervisor.door import ModelDoors

    def _proof(doors: BrokerDoors) -> ModelDoors:
        return doors
