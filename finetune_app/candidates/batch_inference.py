"""Answers of one candidate to several prompts, without streaming."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from asgiref.sync import async_to_sync

from finetune_app.candidates import services
from finetune_app.candidates.answer_length import REMOTE_BATCH_TOKENS
from finetune_app.candidates.models import Candidate
from finetune_app.candidates.prompt_builder import build_prompt
from finetune_app.candidates.specs import CandidateSampling
from finetune_app.core import engine_client
from finetune_app.core.chat_messages import Message
from finetune_app.core.engine_protocol import ChatRequest
from finetune_app.providers import client as remote


@dataclass(frozen=True)
class CandidateAnswer:
    """An answer. `rejection`: why the engine did not accept the prompt, or ""."""

    text: str
    finish_reason: str = ""
    seconds: float = 0.0
    rejection: str = ""


@dataclass(frozen=True)
class BatchResult:
    """Answers by the index of their prompt. `error`: why the others are missing, for the user."""

    answers: dict[int, CandidateAnswer]
    error: str = ""


def generate(
    candidate: Candidate, conversations: Sequence[list[Message]], *, max_new_tokens: int
) -> BatchResult:
    template = services.prompt_template(candidate)
    prompts = [build_prompt(template, one).messages for one in conversations]
    if candidate.endpoint:
        try:
            target = remote.target_of(candidate.endpoint)
        except remote.RemoteError as problem:
            return BatchResult({}, problem.message)
        max_new_tokens = max(max_new_tokens, REMOTE_BATCH_TOKENS)
        return async_to_sync(_generate_remote)(target, prompts, max_new_tokens, candidate.sampling)
    spec = services.candidate_spec(candidate, for_engine=True)
    assert spec["base_model"] is not None
    requests: list[ChatRequest] = [
        {
            "candidate": str(index),
            "adapter": spec["adapter"],
            "messages": messages,
            "caller": f"goal {candidate.goal_id}",
            **services.sampling_of(candidate),  # type: ignore[typeddict-item]
        }
        for index, messages in enumerate(prompts)
    ]
    return async_to_sync(_generate_local)(
        spec["base_model"],
        requests,
        max_new_tokens,
        candidate.number_format or "auto",
    )


async def _generate_local(
    folder: str, requests: list[ChatRequest], max_new_tokens: int, number_format: str
) -> BatchResult:
    answers: dict[int, CandidateAnswer] = {}
    rejections: dict[int, str] = {}
    texts = {request["candidate"]: "" for request in requests}
    try:
        async with aclosing(
            engine_client.stream_chat(
                folder, requests, number_format=number_format, max_new_tokens=max_new_tokens
            )
        ) as events:
            async for event in events:
                name = event["candidate"]
                texts[name] += event.get("text", "")
                if event.get("error"):
                    rejections[int(name)] = event["error"]
                elif event.get("done"):
                    answers[int(name)] = CandidateAnswer(
                        texts[name], event.get("finish_reason", ""), event.get("seconds", 0.0)
                    )
    except engine_client.EngineUnavailable as problem:
        return BatchResult(answers, str(problem))
    if rejections and not answers:  # all failed, so no single prompt is the cause
        return BatchResult({}, next(iter(rejections.values())))
    rejected = {
        index: CandidateAnswer("", "refused", rejection=why) for index, why in rejections.items()
    }
    return BatchResult(answers | rejected)


async def _generate_remote(
    target: remote.Target,
    prompts: list[list[Message]],
    max_new_tokens: int,
    sampling: CandidateSampling,
) -> BatchResult:
    options = remote.sampling_options(sampling)
    replies = await asyncio.gather(
        *(remote.complete_answer(target, prompt, max_new_tokens, options) for prompt in prompts),
        return_exceptions=True,
    )
    answers: dict[int, CandidateAnswer] = {}
    error = ""
    for index, reply in enumerate(replies):
        if isinstance(reply, remote.Answer):
            answers[index] = CandidateAnswer(reply.text.strip(), reply.finish_reason, reply.seconds)
        elif isinstance(reply, remote.RemoteError):
            error = reply.message
        else:
            raise reply
    return BatchResult(answers, error)
