"""Write instructions for other prompts, from the examples and feedback that an optimizer shows."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from workers.lm.demo.drawing import Draw
from workers.lm.demo.lessons import Lessons, learn, read_lessons, unlearn, without_rules
from workers.lm.demo.lexicon import categories_in, words_about
from workers.lm.demo.prompt import Prompt
from workers.lm.demo.shown import from_dataset, from_feedback, from_labelled_lines, from_rule_induction

_OPENINGS: Final = (
    "Read the whole {name} before you decide.",
    "You are an experienced specialist for this kind of {name}.",
    "Work out what the {name} is really about.",
    "Look for the words in the {name} that settle the matter.",
    "Be precise: every {name} has exactly one right answer.",
)
_CLOSING: Final = "Otherwise pick what fits the meaning best."
_TWO_BLOCKS: Final = 5  # parts of a text that is cut at both fences of two blocks
_KEPT: Final = 2  # times that a rule of the current instruction outweighs a word of one new example
_OBSERVED_WORDS: Final = 14
_SUMMARY_WORDS: Final = 40
_REFLECTED_WORDS: Final = 60


def propose_in_plain_text(text: str, draw: Draw) -> str | None:
    """Answer GEPA's own proposal prompt, which asks for ``` blocks; None when the text is something else."""
    blocks = text.split("```")
    if len(blocks) < _TWO_BLOCKS or "write a new instruction" not in text:
        return None
    return f"```\n{_reflect(blocks[1].strip(), blocks[3].strip(), draw)}\n```"


def _observe(prompt: Prompt, draw: Draw) -> str:
    del draw
    lessons = learn(from_dataset(prompt.query.get("examples", "")))
    if not lessons:
        return "COMPLETE" if prompt.query.get("prior_observations") else "The rows have no pattern that I can name."
    lines = lessons.sentences(_OBSERVED_WORDS)
    return "\n".join([f"Every row holds a {lessons.input_name} and its answer.", *lines, ""])


def _summarize(prompt: Prompt, draw: Draw) -> str:
    del draw
    lessons = read_lessons(prompt.query.get("observations", ""))
    if not lessons:
        return "The rows pair inputs with short answers."
    return "\n".join([f"The rows pair a {lessons.input_name} with one answer.", *lessons.sentences(_SUMMARY_WORDS)])


def _describe(prompt: Prompt, draw: Draw) -> str:
    del draw
    arrow = re.search(r"\(([\w, ]+?) ?-> ?([\w, ]+)", prompt.query.get("program_code", ""))
    if arrow is None:
        return "The program answers with one call to a language model."
    return f"The program reads {arrow[1].strip()} and predicts {arrow[2].strip()} with a language model."


def _instruct(prompt: Prompt, draw: Draw) -> str:
    query = prompt.query
    lessons = Lessons()
    for source in ("dataset_description", "basic_instruction", "attempted_instructions"):
        lessons.merge(read_lessons(query.get(source, "")))
    if module := re.match(r"\w+\(([\w, ]*)\) -> ([\w, ]+)", query.get("module", "")):
        inputs = [name.strip() for name in module[1].split(",")]
        lessons.merge(learn(from_labelled_lines(query.get("task_demos", ""), inputs, module[2].split(",")[-1].strip())))
    basic = query.get("basic_instruction") or _best_attempt(query.get("attempted_instructions", ""))
    if not lessons:
        lessons.merge(_background(categories_in(basic)))
    return _compose(without_rules(basic), lessons, _length(query.get("tip", ""), draw), draw)


def _length(tip: str, draw: Draw) -> int:
    if "concise" in tip:
        return draw.between(6, 12)
    return draw.between(22, _SUMMARY_WORDS) if "descriptive" in tip else draw.between(10, 30)


def _compose(basic: str, lessons: Lessons, most: int, draw: Draw) -> str:
    basic = basic.replace(_CLOSING, "").strip()
    opening = draw.pick(_OPENINGS).format(name=lessons.input_name)
    start = (
        [basic]
        if opening in basic or any(o.format(name=lessons.input_name) in basic for o in _OPENINGS)
        else [
            basic or "Answer from the input.",
            opening,
        ]
    )
    rules = lessons.sentences(most)
    closing = [_CLOSING] if lessons.words else []
    return "\n".join([*start, *rules, *closing])


def _background(labels: Iterable[str]) -> Lessons:
    """What the names of the labels mean by themselves, for when there are few examples."""
    known = ((label, words_about(label)) for label in labels)
    return Lessons(words={label: Counter(words) for label, words in known if words})


def _best_attempt(attempts: str) -> str:
    """The instruction of the last attempt, as attempts are listed in rising order of their scores."""
    found = re.findall(r"Instruction #\d+: (.*?)(?=\nPrefix #|\nResulting Score|\Z)", attempts, re.DOTALL)
    return found[-1].strip() if found else ""


def _reflect_on_feedback(prompt: Prompt, draw: Draw) -> str:
    return _reflect(prompt.query.get("current_instruction", ""), prompt.query.get("examples_with_feedback", ""), draw)


def _reflect(current: str, examples_text: str, draw: Draw) -> str:
    examples = from_feedback(examples_text)
    lessons = Lessons()
    for _ in range(_KEPT):
        lessons.merge(read_lessons(current))
    unlearn(lessons, examples)
    new = learn(examples)
    lessons.merge(new)
    lessons.merge(_background(label for label in new.words))
    return _compose(without_rules(current), lessons, _REFLECTED_WORDS, draw)


def _shorten(prompt: Prompt, draw: Draw) -> str:
    del draw
    text = prompt.query.get("instruction", "")
    limit = int(re.sub(r"\D", "", prompt.query.get("length_limit", "")) or 10**6)
    lessons, rest = read_lessons(text), without_rules(text).replace(_CLOSING, "").strip()
    for most in range(_REFLECTED_WORDS, 0, -1):
        shorter = "\n".join([rest, *lessons.sentences(most)])
        if len(shorter) <= limit:
            return shorter
    return rest[:limit].rpartition(" ")[0] or rest[:limit]


def _induce_rules(prompt: Prompt, draw: Draw) -> str:
    lessons = learn(from_rule_induction(prompt.query.get("examples_text", "")))
    return "\n".join(lessons.sentences(draw.between(12, 30))) or "Answer from the input."


def _discuss(prompt: Prompt, draw: Draw) -> str:
    del draw
    worse, better = (prompt.query.get(f"{kind}_program_outputs", "") for kind in ("worse", "better"))
    return f"The better run answered {better[:120]}, the worse one {worse[:120]}."


def _advise(prompt: Prompt, draw: Draw) -> str:
    del draw
    inputs, outputs = (_object(prompt.query.get(name, "")) for name in ("program_inputs", "better_program_outputs"))
    rewarded = _number(prompt.query.get("better_reward_value")) > _number(prompt.query.get("worse_reward_value"))
    generated = {"Inputs": inputs, "Generated Outputs": outputs, "Feedback": "correct" if rewarded else ""}
    rules = learn(from_feedback(json.dumps([generated]))).sentences(_OBSERVED_WORDS)
    advice = "\n".join(rules) or "Decide by the words of the input, not by its tone."
    names = re.findall(r'"([^"]+)"', prompt.query.get("module_names", "")) or ["self"]
    return json.dumps(dict.fromkeys(names, advice))


def _object(text: str) -> dict[str, object]:
    try:
        read = json.loads(text)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def _prefix(prompt: Prompt, draw: Draw) -> str:
    del prompt
    return draw.pick(("Answer:", "The answer is:", "Result:"))


PROPOSALS: Final[Mapping[str, Callable[[Prompt, Draw], str]]] = {
    "observations": _observe,
    "summary": _summarize,
    "program_description": _describe,
    "module_description": _describe,
    "proposed_instruction": _instruct,
    "proposed_prefix_for_output_field": _prefix,
    "new_instruction": _reflect_on_feedback,
    "shortened_instruction": _shorten,
    "natural_language_rules": _induce_rules,
    "discussion": _discuss,
    "module_advice": _advise,
}
"""What to write into an output field of an optimizer's prompt, by the name of the field."""
