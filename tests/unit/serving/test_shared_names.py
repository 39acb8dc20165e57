"""A served program asks under the names that its job's answers have, so what the job paid for serves it too."""

from typing import Any

import dspy
from dspy._vendor.lm15.serde import response_to_dict

from dspy_service.adapters.memory import MemoryResponseCache
from dspy_service.domain.spec import ModelSettings
from tests.support.lm_calls import response
from tests.support.served import produced, producer_of, run_of, version_of
from workers.lm.keys import call_key
from workers.lm.native import alias
from workers.runner.models import RoleTally, build_lm

_QUESTION = "What is the capital of France?"


class AskedStage:
    """Answers every question of a runner's model, and keeps the names under which a broker would keep the answers."""

    phase = "final"

    def __init__(self, settings: ModelSettings) -> None:
        self._alias = alias(settings)
        self.keys: list[str] = []

    def ask(self, frame: dict[str, Any]) -> dict[str, Any]:
        self.keys.append(call_key(self._alias, frame["request"], frame["rollout_id"], frame["candidate"])[0])
        answer = response("[[ ## reasoning ## ]]\nso\n\n[[ ## answer ## ]]\nParis\n\n[[ ## completed ## ]]")
        return {"response": response_to_dict(answer)}


class Looking(MemoryResponseCache):
    """Keeps the names that were looked for."""

    def __init__(self) -> None:
        super().__init__(max_bytes=1 << 20, unused_seconds=60)
        self.keys: list[str] = []

    async def find(self, tenant: str, key: str) -> str | None:
        self.keys.append(key)
        return await super().find(tenant, key)


async def test_a_run_looks_for_the_answer_of_the_job_that_made_its_program() -> None:
    settings = ModelSettings(name="demo/in-context", temperature=0.3, max_tokens=99, extra={"seed": 4})
    program = dspy.ChainOfThought("question -> answer", n=2)
    stage = AskedStage(settings)
    shown = {"model": settings.name, **settings.model_dump(exclude={"name", "base_url"}), "capabilities": {}}
    with dspy.context(lm=build_lm(stage, "task", shown, RoleTally("task")), adapter=dspy.ChatAdapter()):  # type: ignore[arg-type]  # the part of a stage that counts
        program(question=_QUESTION)
    cache = Looking()
    version = version_of(program, settings, module_kwargs={"n": 2})

    await produced(producer_of(program, version, cache=cache), run_of(version, inputs={"question": _QUESTION}))

    assert len(stage.keys) == 2
    assert set(stage.keys) <= set(cache.keys)
