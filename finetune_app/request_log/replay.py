"""Sends the messages of a logged request to another candidate. Nothing is stored."""

from dataclasses import dataclass, replace

from asgiref.sync import async_to_sync

from finetune_app.candidates import conversation, inference
from finetune_app.candidates.selection import CandidateOption
from finetune_app.core.errors import PlainError
from finetune_app.request_log.models import Transcript


@dataclass(frozen=True)
class Replayed:
    """The answer of the other candidate, or the problem if there is none."""

    label: str
    text: str = ""
    problem: str = ""


def replay(transcript: Transcript, option: CandidateOption) -> Replayed:
    try:
        candidate = option.get_candidate()
        request = replace(inference.request_for(candidate), messages=transcript.messages)
        batch = inference.RequestBatch(candidate.goal_id, transcript.prompt, [request])
        turn = async_to_sync(conversation.answer_turn)(batch)
    except (PlainError, conversation.ConversationError) as problem:
        return Replayed(option.label, problem=str(getattr(problem, "message", problem)))
    return Replayed(option.label, turn.answers.get("0", ""), turn.errors.get("0", ""))
