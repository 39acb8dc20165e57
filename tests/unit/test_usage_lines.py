"""What models cost, as lines for people."""

from dspy_service.cli.telling import usage_lines
from dspy_service.domain.result import RoleUsage, Usage
from dspy_service.domain.usage_view import view_usage


def _lines(estimated_calls: int) -> list[str]:
    task = RoleUsage(model="openai/m", calls=3, estimated_calls=estimated_calls, prompt_tokens=30, cost_usd=0.5)
    usage = Usage(
        roles={"task": task}, total_calls=3, total_tokens=30, estimated_calls=estimated_calls, cost_usd=task.cost_usd
    )
    return list(usage_lines(view_usage("job", usage, is_final=True)))


def test_estimated_tokens_are_said_to_be() -> None:
    told, estimated = _lines(0), _lines(2)

    assert told[0] == "3 calls, 30 tokens, 0.5000 USD in all"
    assert set(estimated) - set(told) == {"  2 calls came without token counts; theirs, and their cost, are estimated."}
