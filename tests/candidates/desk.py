"""What the stories of the workbench share: an engine that says what one tells it, and presses."""

import html
from collections.abc import Callable

from finetune_app.candidates import practice
from finetune_app.core import engine_client
from finetune_app.goals.models import Goal

HTMX = {"HX-Request": "true"}


def text(reply) -> str:
    return html.unescape(reply.content.decode())


class Voice:
    """An engine that answers `say(messages)` and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.say: Callable[[list[dict]], str] = lambda messages: "Nothing of that."
        self.fail = ""

    async def __call__(self, base_model, lanes, **options):
        self.asked.append({"base_model": base_model, "lanes": lanes, **options})
        if self.fail:
            raise engine_client.EngineUnavailable(self.fail)
        for lane in lanes:
            yield {"lane": lane["name"], "text": self.say(lane["messages"])}
            yield {"lane": lane["name"], "done": True, "finish_reason": "stop", "seconds": 0.1}


def wanted_of(goal: Goal) -> dict[str, str]:
    return {one.messages[-1]["content"]: one.wanted for one in practice.prompts(goal)}


def knows_all(goal: Goal) -> Callable[[list[dict]], str]:
    known = wanted_of(goal)
    return lambda messages: known[messages[-1]["content"]]


def tries_all(client, at, **form) -> str:
    """Press Try until everything was asked, as the page does by itself."""
    for _press in range(4):
        page = text(client.post(at("try_some"), {"instructions": "Sort it.", **form}, headers=HTMX))
    return page
