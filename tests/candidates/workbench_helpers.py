"""A fake engine, and helpers for the workbench."""

import html
import re
from collections.abc import Callable

from finetune_app.candidates import validation_prompts
from finetune_app.core import engine_client
from finetune_app.goals.models import Goal

HTMX = {"HX-Request": "true"}


def text(reply) -> str:
    """The page without entities and without line breaks that only the template formatter makes."""
    return re.sub(r" (?=>)", "", " ".join(html.unescape(reply.content.decode()).split()))


class FakeEngine:
    """Answers `say(messages)` and records the requests in `asked`."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.reply_to: Callable[[list[dict]], str] = lambda messages: "Nothing of that."
        self.fail = ""

    async def __call__(self, base_model, requests, **options):
        self.asked.append({"base_model": base_model, "requests": requests, **options})
        if self.fail:
            raise engine_client.EngineUnavailable(self.fail)
        for request in requests:
            yield {"candidate": request["candidate"], "text": self.reply_to(request["messages"])}
            yield {
                "candidate": request["candidate"],
                "done": True,
                "finish_reason": "stop",
                "seconds": 0.1,
            }


def expected_answers(goal: Goal) -> dict[str, str]:
    return {
        one.messages[-1]["content"]: one.wanted for one in validation_prompts.prompts_of_goal(goal)
    }


def answer_correctly(goal: Goal) -> Callable[[list[dict]], str]:
    known = expected_answers(goal)
    return lambda messages: known[messages[-1]["content"]]


def ask_all_prompts(client, at, **form) -> str:
    """Post until all prompts are asked, as the page does; returns the last response as text."""
    for _press in range(4):
        page = text(
            client.post(at("ask_prompts"), {"instructions": "Sort it.", **form}, headers=HTMX)
        )
    return page


HELLO = {"question": "Is my bike ready?"}
