"""Ask a candidate the practice prompts, a few at a time, and keep what it says.

A few at a time: the page asks for the next ones when these have come, so that it stays alive and
what was answered is kept even when it is closed in the middle.
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.candidates import services
from finetune_app.candidates.composing import Message, compose
from finetune_app.candidates.models import Candidate, Try
from finetune_app.candidates.practice import Practice, digest, fingerprint, prompts, results
from finetune_app.core import engine_client
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_folder
from finetune_app.datasets.models import Example
from finetune_app.goals.measures import Measure, get_measure
from finetune_app.goals.models import Goal
from finetune_app.providers import client as remote

AT_ONCE = 4
LEAST_TOKENS, MOST_TOKENS = 64, 400
REMOTE_TOKENS = 1_024  # some think in tokens before they answer, and only a remote one is quick


@dataclass(frozen=True)
class Said:
    text: str
    finish_reason: str = ""
    seconds: float = 0.0
    why: str = ""  # it could not be asked


def try_some(*, goal: Goal, candidate: Candidate) -> bool:
    """Ask the next few practice prompts; whether any are left. Raise PlainError in trouble, with
    what was answered before it kept."""
    asked = prompts(goal)
    left = [one.practice for one in results(goal, candidate, asked) if one.answer is None]
    if not left:
        return False
    heard, trouble = answers(
        candidate,
        [list(one.messages) for one in left[:AT_ONCE]],
        max_tokens=_enough([one.wanted for one in asked]),
    )
    _keep(goal, candidate, left, heard)
    if trouble:
        raise PlainError(trouble, status=502, title=_("No answer"))
    return len(left) > len(heard)


def answers(
    candidate: Candidate, asked: Sequence[list[Message]], *, max_tokens: int
) -> tuple[dict[int, Said], str]:
    """What a candidate says to each, by its place, and what went wrong, in a sentence."""
    recipe = services.recipe_of(candidate)
    messages = [compose(recipe, one).messages for one in asked]
    sampling = candidate.sampling
    if candidate.endpoint:
        try:
            target = remote.target_of(candidate.endpoint)
        except remote.RemoteError as problem:
            return {}, problem.message
        most = max(max_tokens, REMOTE_TOKENS)
        return async_to_sync(_elsewhere)(target, messages, most, sampling)
    assert candidate.base_model is not None
    adapter = services.for_engine(candidate)["adapter"]
    lanes: list[engine_client.Lane] = [
        {"name": str(at), "adapter": adapter, "messages": one, **sampling}
        for at, one in enumerate(messages)
    ]
    return async_to_sync(_here)(
        str(local_folder(candidate.base_model.folder)),
        lanes,
        max_tokens,
        candidate.number_format or "auto",
    )


async def _here(
    folder: str, lanes: list[engine_client.Lane], max_tokens: int, number_format: str
) -> tuple[dict[int, Said], str]:
    heard: dict[int, Said] = {}
    refused: dict[int, str] = {}
    texts = {lane["name"]: "" for lane in lanes}
    try:
        async with aclosing(
            engine_client.stream_chat(
                folder, lanes, number_format=number_format, max_new_tokens=max_tokens
            )
        ) as events:
            async for event in events:
                name = event["lane"]
                texts[name] += event.get("text", "")
                if event.get("error"):
                    refused[int(name)] = event["error"]
                elif event.get("done"):
                    heard[int(name)] = Said(
                        texts[name], event.get("finish_reason", ""), event.get("seconds", 0.0)
                    )
    except engine_client.EngineUnavailable as problem:
        return heard, str(problem)
    if refused and not heard:  # nothing that lies in one prompt
        return {}, next(iter(refused.values()))
    return heard | {at: Said("", "refused", why=why) for at, why in refused.items()}, ""


async def _elsewhere(
    target: remote.Target, asked: list[list[Message]], max_tokens: int, sampling: dict[str, Any]
) -> tuple[dict[int, Said], str]:
    came = await asyncio.gather(
        *(remote.whole(target, one, max_tokens, sampling.get("temperature", 0.0)) for one in asked),
        return_exceptions=True,
    )
    heard: dict[int, Said] = {}
    trouble = ""
    for at, one in enumerate(came):
        if isinstance(one, remote.Answer):
            heard[at] = Said(one.text.strip(), one.finish_reason, one.seconds)
        elif isinstance(one, remote.RemoteError):
            trouble = one.message
        else:
            raise one
    return heard, trouble


# ---- Keeping and judging ----


def _keep(
    goal: Goal, candidate: Candidate, asked: Sequence[Practice], heard: dict[int, Said]
) -> None:
    recipe, judge = fingerprint(candidate), Judge(goal)
    rows = []
    for at, said in heard.items():
        passed, why = judge(said, asked[at].wanted)
        rows.append(
            Try(
                goal=goal,
                recipe=recipe,
                question=asked[at].fingerprint,
                row=asked[at].row,
                text=said.text,
                passed=passed,
                why=why[:200],
                measure=judge.fingerprint,
                finish_reason=said.finish_reason,
                seconds=said.seconds,
            )
        )
    here = Example.objects.filter(dataset__goal=goal)
    with transaction.atomic():
        Try.objects.bulk_create(rows, ignore_conflicts=True)  # another tab may have been quicker
        # An answer may repeat its question: it goes when the question is gone for good.
        Try.objects.filter(goal=goal).exclude(row__in=here.values("pk")).delete()


def judge_again(*, goal: Goal) -> None:
    """The goal's measure is another one now: what was said stays, what it is worth may change."""
    judge = Judge(goal)
    wanted = {one.fingerprint: one.wanted for one in prompts(goal)}
    stale = Try.objects.filter(goal=goal, question__in=wanted)
    rows = list(stale.exclude(measure=judge.fingerprint))
    for one in rows:
        said = Said(one.text, one.finish_reason, why=one.why if _refused(one) else "")
        one.passed, why = judge(said, wanted[one.question])
        one.why, one.measure = why[:200], judge.fingerprint
    Try.objects.bulk_update(rows, ["passed", "why", "measure"])


def _refused(one: Try) -> bool:
    return one.finish_reason == "refused"


class Judge:
    """The goal's own measure, as Evaluation uses it."""

    def __init__(self, goal: Goal) -> None:
        self.measure: Measure | None = None
        if goal.measure:
            self.measure = get_measure(goal.measure, goal.measure_settings)
        self.fingerprint = digest([goal.measure, goal.measure_settings])

    def __call__(self, said: Said, wanted: str) -> tuple[bool | None, str]:
        if said.why:
            return False, said.why
        if self.measure is None or self.measure.needs_person:
            return None, ""
        score = self.measure.check(said.text, wanted)
        if said.finish_reason == "length" and not score.passed:
            return False, _("Cut off. %(why)s") % {"why": score.why}
        return score.passed, score.why


def _enough(wanted: Sequence[str]) -> int:
    """Tokens for the longest wanted answer, and some more so that rambling shows."""
    longest = max(map(len, wanted), default=0)
    return min(max(longest // 2 + 32, LEAST_TOKENS), MOST_TOKENS)
