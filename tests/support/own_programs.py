"""A module as an operator would register one: more than one predictor, and code between them."""

import dspy

from dspy_service.domain.catalogue.entries import ModuleEntry


class PlanThenAnswer(dspy.Module):  # type: ignore[misc]  # DSPy is untyped
    """Writes a plan, then answers with it."""

    def __init__(self, signature: type[dspy.Signature]) -> None:
        super().__init__()
        inputs = ", ".join(signature.input_fields)
        self.plan = dspy.Predict(dspy.Signature(f"{inputs} -> plan", "Plan the answer."))
        self.answer = dspy.ChainOfThought(signature.prepend("plan", dspy.InputField()))

    def forward(self, **inputs: object) -> dspy.Prediction:
        return self.answer(plan=self.plan(**inputs).plan, **inputs)

    async def aforward(self, **inputs: object) -> dspy.Prediction:
        plan = await self.plan.acall(**inputs)
        return await self.answer.acall(plan=plan.plan, **inputs)


PLANNER = ModuleEntry(name="planner", factory="tests.support.own_programs.PlanThenAnswer")
