"""Does once what the first run would: imports and caches inside DSPy."""

from typing import Any

import dspy
from dspy.lm15 import response_from_openai_chat

from workers.serving.adapters import ADAPTERS
from workers.serving.callbacks import ProgramWatch
from workers.serving.progress import Progress

_ANSWER = "[[ ## reasoning ## ]]\nr\n\n[[ ## answer ## ]]\na\n\n[[ ## completed ## ]]"


class _Echo:
    """Answers every request with one text."""

    def complete(self, request: Any) -> Any:  # noqa: ANN401, ARG002  # lm15's types are untyped here
        message = {"role": "assistant", "content": _ANSWER}
        body = {
            "id": "warm",
            "object": "chat.completion",
            "created": 1,
            "model": "warm",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        return response_from_openai_chat(body, model="openai/warm")


class _AsyncEcho(_Echo):
    async def complete(self, request: Any) -> Any:  # noqa: ANN401  # lm15's types are untyped here
        return super().complete(request)


async def warm() -> None:
    """Carry out a program that is asked nothing; call it after the confinement, which covers later threads only."""
    lm = dspy.LM("openai/warm", engine=_Echo(), async_engine=_AsyncEcho(), cache=False, num_retries=0)
    program = dspy.ChainOfThought("question -> answer")
    watch = ProgramWatch(program, Progress())
    with dspy.context(lm=lm, adapter=ADAPTERS["chat"], callbacks=[watch], disable_history=True, trace=None):
        await program.acall(question="Does it work?")
        program(question="Does it work?")
