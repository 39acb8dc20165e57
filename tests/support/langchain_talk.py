"""Talks to a served program with LangChain's client, in an environment of its own, and prints what came back as JSON.

Nothing of ours is imported: it runs with the interpreter that ``make langchain`` makes.
"""

import json
import sys
import warnings
from typing import Any


def talk(base_url: str) -> dict[str, Any]:
    """Return what the ways to call a model come to, of both APIs that LangChain speaks."""
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage  # noqa: PLC0415  # there is none elsewhere
    from langchain_openai import ChatOpenAI  # noqa: PLC0415  # likewise

    found: dict[str, Any] = {}
    for name in ("chat", "responses"):
        model = ChatOpenAI(
            model="qa", base_url=base_url, api_key="not needed", max_retries=0, use_responses_api=name == "responses"
        )
        messages = [SystemMessage("Be brief."), HumanMessage("One?"), AIMessage("1"), HumanMessage("Two?")]
        pieces = [chunk.text for chunk in model.stream("Why?", extra_body={"cache": "bypass"})]
        schema = {"title": "Answer", "type": "object", "properties": {"answer": {"type": "string"}}}
        found[name] = {
            "invoke": model.invoke("Why?").text,
            "messages": model.invoke(messages).text,
            "stream": "".join(pieces),
            "pieces": sum(bool(piece) for piece in pieces),
            "batch": [each.text for each in model.batch(["Why?", "Why not?"])],
            "structured": model.with_structured_output(schema, method="json_schema").invoke("Why?"),
            "refused": _refused(model),
        }
    return found


def _refused(model: Any) -> str:  # noqa: ANN401  # of a library that is not there for the type checker
    try:
        model.invoke("Be refused.")
    except Exception as error:  # noqa: BLE001  # whatever LangChain makes of it is what is looked at
        return str(error)
    return "nothing was raised"


if __name__ == "__main__":
    warnings.simplefilter("error")
    print(json.dumps(talk(sys.argv[1])))  # noqa: T201  # how the caller learns it
