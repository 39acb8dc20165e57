"""What a crowd asks and what a scripted model writes: for each question always alike, and unlike any other."""

import itertools
import json
import random
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from dspy_service.domain.spec import ModelSettings
from tests.support.openai_server import Body, Reply, Script
from tests.support.serving_stage import ServingStage

SIGNATURES: Final = {"qa": "question -> answer", "typed": "question -> answer, sources: list[str]"}
"""Of the programs by name. The first one's model writes nothing but the answer, the other's one the fields of DSPy."""

_WORDS: Final = (
    *(
        "plain ",
        "zwölf ",
        "\U0001f600 ",
        "日本 ",
        "two\n",
        "[[ ## ",
        '"said" ',
        "{x} ",
        "\\n ",
        "a",
        "\r\n",
        "]] ",
        "\t",
    ),
    *("e\u0301 ", "\U0001f469\u200d\U0001f469\u200d\U0001f467 ", "\u2028", "\u00a0", "`code` ", "\\u00e9 ", "</b>\n\n"),
)
_NUMBER: Final = re.compile(r"question (\d+)\.")
_FIELD: Final = "[[ ## answer ## ]]"


@dataclass(frozen=True)
class Question:
    """One question of the crowd, and all that follows from its number.

    Args:
        number: From 0.
        most_pieces: Of its answer, beside its marks.
    """

    number: int
    most_pieces: int

    @classmethod
    def asked_in(cls, body: Body, most_pieces: int) -> Self:
        """Return the question that a request to the model is about."""
        found = _NUMBER.search(str(body["messages"]))
        assert found is not None, body
        return cls(int(found[1]), most_pieces)

    @property
    def text(self) -> str:
        return f"This is question {self.number}."

    @property
    def program(self) -> str:
        """Which one is asked."""
        return ("qa", "typed", "typed")[self.number % 3]

    @property
    def is_chat(self) -> bool:
        """Whether it is a turn of a conversation, and no single call."""
        return self.number % 2 == 1

    @property
    def is_retracted(self) -> bool:
        """Whether DSPy cannot read the model's first answer and asks anew: what was shown of it is taken back."""
        return self.number % 3 == 1

    @property
    def calls(self) -> int:
        """How often one attempt asks the model."""
        return 2 if self.is_retracted else 1

    @cached_property
    def pieces(self) -> list[str]:
        """How the model writes the answer."""
        return self._words(self._draw("answer"))

    @cached_property
    def answer(self) -> str:
        """What a reader must have in the end: DSPy's form of several fields goes by lines."""
        written = "".join(self.pieces)
        return "\n".join(written.splitlines()).strip() if self.program == "typed" and not self.is_retracted else written

    def reply(self, body: Body) -> list[str]:
        """Return how the model answers a request, cut as it is sent."""
        if self.program == "qa":
            return self.pieces
        if _FIELD not in str(body["messages"]):  # the second try, in JSON
            return self._as_json()
        if self.is_retracted:
            return [f"{_FIELD}\n", *self._words(self._draw("unreadable"))]
        return [f"{_FIELD}\n", *self.pieces, "\n\n[[ ## sources ## ]]\n", '["a"]', "\n\n[[ ## completed ## ]]"]

    def _as_json(self) -> list[str]:
        draw = self._draw("cuts")
        fields = {"answer": "".join(self.pieces), "sources": ["a"]}
        text = json.dumps(fields, ensure_ascii=draw.random() < 0.5)  # a coin
        places = sorted(draw.sample(range(1, len(text)), k=min(len(text) - 1, len(self.pieces))))
        return [text[start:end] for start, end in itertools.pairwise([0, *places, len(text)])]

    def _words(self, draw: random.Random) -> list[str]:
        return [f"<{self.number}>", *draw.choices(_WORDS, k=draw.randint(1, self.most_pieces)), f"</{self.number}>"]

    def _draw(self, what: str) -> random.Random:
        return random.Random(f"{self.number} {what}")  # noqa: S311  # an answer, not a secret


def answering(most_pieces: int, piece_seconds: float) -> Script:
    """Answer each question as it says, a piece at a time."""
    return lambda body: Reply(
        pieces=Question.asked_in(body, most_pieces).reply(body), piece_seconds=piece_seconds, finish_reason="stop"
    )


async def deploy_for_questions(stage: ServingStage, model_url: str) -> None:
    """Serve both programs."""
    lm = ModelSettings(name="openai/test", base_url=model_url)
    for name, signature in SIGNATURES.items():
        adapter = "text" if name == "qa" else "chat"
        await stage.deploy(lm, name=name, signature=signature, adapter=adapter)
