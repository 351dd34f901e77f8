import pytest
from django.urls import reverse

from finetune_app.goals import services as goals
from finetune_app.guide.wizard import services
from finetune_app.guide.wizard.question_screens import ALL

# Answers that lead to training.
READY = {
    "improve": "format",
    "tried_prompt": "inconsistent",
    "facts_change": "never",
    "needs_sources": False,
    "documents": 0,
    "pairs": 300,
    "test_questions": 20,
    "private_data": False,
    "heavy_use": False,
}


@pytest.fixture
def goal(goal):
    """A goal after step 1."""
    return goals.choose_measure(goal=goal, kind="close", settings={})


@pytest.fixture
def url(goal):
    """The URL of a page of the wizard."""

    def build(name: str, **ids) -> str:
        return reverse(f"guide:{name}", kwargs={"goal_id": goal.pk} | ids)

    return build


@pytest.fixture
def advised(goal, owner):
    """Go through the whole wizard; questions without a given answer are skipped."""

    def advise(**answers):
        for screen in ALL:
            given = {name: answers[name] for name in screen.names if name in answers}
            services.answer(goal=goal, user=owner, screen=screen, given=given or None)
        return services.finish(goal=goal, user=owner)

    return advise
