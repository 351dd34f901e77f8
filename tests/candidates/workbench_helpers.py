"""What the stories of the workbench share: an engine that says what one tells it, and presses."""

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
    """An engine that answers `say(messages)` and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.say: Callable[[list[dict]], str] = lambda messages: "Nothing of that."
        self.fail = ""

    async def __call__(self, base_model, requests, **options):
        self.asked.append({"base_model": base_model, "requests": requests, **options})
        if self.fail:
            raise engine_client.EngineUnavailable(self.fail)
        for request in requests:
            yield {"candidate": request["candidate"], "text": self.say(request["messages"])}
            yield {
                "candidate": request["candidate"],
                "done": True,
                "finish_reason": "stop",
                "seconds": 0.1,
            }


def wanted_of(goal: Goal) -> dict[str, str]:
    return {
        one.messages[-1]["content"]: one.wanted for one in validation_prompts.prompts_of_goal(goal)
    }


def knows_all(goal: Goal) -> Callable[[list[dict]], str]:
    known = wanted_of(goal)
    return lambda messages: known[messages[-1]["content"]]


def tries_all(client, at, **form) -> str:
    """Press Try until everything was asked, as the page does by itself."""
    for _press in range(4):
        page = text(
            client.post(at("ask_prompts"), {"instructions": "Sort it.", **form}, headers=HTMX)
        )
    return page
