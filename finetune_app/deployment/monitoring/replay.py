"""Asking another candidate what was asked of the live one: composed as always, nothing kept."""

from dataclasses import dataclass, replace

from asgiref.sync import async_to_sync

from finetune_app.candidates import conversation, inference
from finetune_app.candidates.selection import CandidateOption
from finetune_app.core.errors import PlainError
from finetune_app.deployment.models import Transcript


@dataclass(frozen=True)
class Replayed:
    """What the other one says now; `trouble` where it said nothing."""

    label: str
    text: str = ""
    trouble: str = ""


def replay(transcript: Transcript, option: CandidateOption) -> Replayed:
    try:
        candidate = option.get_candidate()
        request = replace(inference.request_for(candidate), messages=transcript.messages)
        batch = inference.RequestBatch(candidate.goal_id, transcript.prompt, [request])
        turn = async_to_sync(conversation.answer_turn)(batch)
    except (PlainError, conversation.ConversationError) as problem:
        return Replayed(option.label, trouble=str(getattr(problem, "message", problem)))
    return Replayed(option.label, turn.answers.get("0", ""), turn.errors.get("0", ""))
