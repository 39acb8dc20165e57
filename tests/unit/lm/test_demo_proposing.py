"""The demo model writes instructions from the examples it is shown, for every optimizer."""

from contextlib import AbstractContextManager

import dspy
import pytest
from dspy.propose.dataset_summary_generator import create_dataset_summary
from dspy.propose.grounded_proposer import generate_instruction_class
from dspy.teleprompt.copro_optimizer import BasicGenerateInstruction, GenerateInstructionGivenAttempts
from dspy.teleprompt.gepa.instruction_proposal import InstructionProposer
from dspy.teleprompt.infer_rules import RulesInductionProgram
from dspy.teleprompt.simba_utils import OfferFeedback
from gepa.strategies.instruction_proposal import InstructionProposalSignature

from workers.lm.demo.engine import DemoEngine
from workers.lm.demo.shown import told_answer

ROWS = [
    dspy.Example(ticket="the aardvark invoice is wrong", team="red").with_inputs("ticket"),
    dspy.Example(ticket="a zebra broke my window", team="blue").with_inputs("ticket"),
    dspy.Example(ticket="aardvark again on the bill", team="red").with_inputs("ticket"),
]
REFLECTED = [
    {
        "Inputs": {"ticket": "the aardvark invoice is wrong"},
        "Generated Outputs": {"reasoning": "a guess", "team": "blue"},
        "Feedback": "Wrong: the right team is red, not blue.",
    }
]


def in_demo(temperature: float = 1.0) -> AbstractContextManager[None]:
    lm = dspy.LM("demo/in-context", engine=DemoEngine(), cache=False, temperature=temperature)
    context: AbstractContextManager[None] = dspy.context(lm=lm, adapter=dspy.ChatAdapter())
    return context


def rule_for(label: str, text: str) -> str:
    return next((line for line in text.splitlines() if f'Choose "{label}"' in line), "")


def test_a_dataset_summary_holds_words_of_the_rows() -> None:
    with in_demo():
        summary = create_dataset_summary(ROWS, 2, dspy.settings.lm)

    assert "aardvark" in rule_for("red", summary)
    assert "zebra" in rule_for("blue", summary)


def test_an_instruction_carries_the_lessons_of_summary_and_demonstrations() -> None:
    propose = generate_instruction_class(use_instruct_history=False)

    with in_demo():
        proposed = propose(
            dataset_description='Choose "red" when the ticket mentions: aardvark.',
            program_code="Predict(ticket) -> team",
            program_description="It predicts.",
            module="Predict(ticket) -> reasoning, team",
            module_description="It predicts.",
            task_demos="Ticket: a zebra broke my window\nReasoning: so\nTeam: blue\n\n",
            basic_instruction="Route the ticket.",
            tip="Keep the instruction clear and concise.",
        ).proposed_instruction

    assert proposed.startswith("Route the ticket.")
    assert "aardvark" in rule_for("red", proposed)
    assert "zebra" in rule_for("blue", proposed)


def test_reflection_learns_from_feedback_and_keeps_the_instruction() -> None:
    with in_demo():
        proposed = InstructionProposer()({"self": "Route the ticket."}, {"self": REFLECTED}, ["self"])["self"]

    assert proposed.startswith("Route the ticket.")
    assert "aardvark" in rule_for("red", proposed)
    assert rule_for("blue", proposed) == ""


def test_reflection_drops_the_words_that_misled() -> None:
    current = 'Route the ticket.\nChoose "blue" when the ticket mentions: aardvark, zebra.'

    with in_demo():
        proposed = InstructionProposer()({"self": current}, {"self": REFLECTED}, ["self"])["self"]

    assert rule_for("blue", proposed) == 'Choose "blue" when the ticket mentions: zebra.'


def test_reflection_answers_the_prompt_of_gepa_itself() -> None:
    prompt = InstructionProposalSignature.prompt_renderer(
        {"current_instruction_doc": "Route the ticket.", "dataset_with_feedback": REFLECTED}
    )

    with in_demo():
        (reply,) = dspy.settings.lm(prompt)

    proposed = InstructionProposalSignature.output_extractor(reply)["new_instruction"]
    assert proposed.startswith("Route the ticket.")
    assert "aardvark" in rule_for("red", proposed)


def test_a_long_proposal_is_shortened_on_request() -> None:
    proposer = InstructionProposer(max_chars=200)
    many = [{**REFLECTED[0], "Inputs": {"ticket": " ".join(f"wordy{a}{b}" for a in "abc" for b in "abcdef")}}]

    with in_demo():
        proposed = proposer({"self": "Route the ticket."}, {"self": many}, ["self"])["self"]

    assert len(proposed) <= 200
    assert rule_for("red", proposed)


def test_proposals_differ_between_sets_of_examples_and_repeat_for_the_same() -> None:
    def propose(name: str) -> str:
        record = {**REFLECTED[0], "Inputs": {"ticket": f"the {name} invoice is wrong"}}
        with in_demo():
            return InstructionProposer()({"self": "Route."}, {"self": [record]}, ["self"])["self"]

    assert propose("otter") == propose("otter")
    assert propose("otter") != propose("badger")


def test_copro_gets_an_instruction_and_a_prefix() -> None:
    with in_demo():
        first = dspy.Predict(BasicGenerateInstruction)(basic_instruction="Say positive or negative.")
        attempts = ["Instruction #1: Route.", "Prefix #1: X", "Resulting Score #1: 40.0"]
        later = dspy.Predict(GenerateInstructionGivenAttempts)(attempted_instructions=attempts)

    assert "excellent" in rule_for("positive", first.proposed_instruction)
    assert first.proposed_prefix_for_output_field
    assert later.proposed_instruction.startswith("Route.")


def test_rules_are_induced_from_examples() -> None:
    text = "Input Fields:\nticket: an aardvark\n\n=========\nOutput Fields:\nteam: red\n\n"

    with in_demo():
        rules = RulesInductionProgram(3)(text)

    assert "aardvark" in rule_for("red", rules)


def test_advice_comes_from_the_better_run() -> None:
    told = {
        name: "{}"
        for name in OfferFeedback.input_fields
        if name not in {"module_names", "worse_reward_value", "better_reward_value"}
    }
    told |= {"program_inputs": '{"ticket": "an aardvark"}', "better_program_outputs": '{"team": "red"}'}

    with in_demo():
        advice = dspy.Predict(OfferFeedback)(
            **told, worse_reward_value=0.0, better_reward_value=1.0, module_names=["self"]
        )

    assert "aardvark" in rule_for("red", advice.module_advice["self"])


@pytest.mark.parametrize(
    ("feedback", "answered", "told"),
    [
        ("Expected 'red', got 'blue'.", "blue", "red"),
        ("The correct answer is red.", "blue", "red"),
        ("Wrong: the right team is red, not blue.", "blue", "red"),
        ('It should have been "red wine".', "blue", "red wine"),
        ("Correct.", "blue", "blue"),
        ("This trajectory got a score of 1.0.", "blue", "blue"),
        ("This trajectory got a score of 0.0.", "blue", None),
        ("That is incorrect.", "blue", None),
        ("", "blue", None),
    ],
)
def test_feedback_tells_the_right_answer_or_nothing(feedback: str, answered: str, told: str | None) -> None:
    assert told_answer(feedback, answered) == told


ORDERS = [
    dspy.Example(message="customer 123456 asks for order AB-1234", code="AB-1234").with_inputs("message"),
    dspy.Example(message="call 555123 about AB-7777 please", code="AB-7777").with_inputs("message"),
]


def test_a_dataset_summary_says_what_a_copied_answer_looks_like() -> None:
    with in_demo():
        summary = create_dataset_summary(ORDERS, 5, dspy.settings.lm)

    assert 'The code looks like "AB-9999".' in summary
    assert "The code comes after: order, about." in summary
    assert "The code never comes after: customer, call." in summary


def test_reflection_says_what_a_copied_answer_looks_like() -> None:
    record = {
        "Inputs": {"message": "customer 123456 asks for order AB-1234"},
        "Generated Outputs": {"code": "123456"},
        "Feedback": 'Wrong: the code is "AB-1234".',
    }

    with in_demo():
        proposed = InstructionProposer()({"self": "Copy the code."}, {"self": [record]}, ["self"])["self"]

    assert 'The code looks like "AB-9999".' in proposed


def test_examples_without_an_answer_leave_the_task_as_it_was() -> None:
    record = {**REFLECTED[0], "Feedback": "This trajectory got a score of 0.0."}

    with in_demo():
        proposed = InstructionProposer()({"self": "Route the ticket."}, {"self": [record]}, ["self"])["self"]

    assert proposed.startswith("Route the ticket.")
    assert "Choose" not in proposed
