"""Asking another candidate what was asked of the live one: composed as always, nothing kept."""

from dataclasses import dataclass, replace

from asgiref.sync import async_to_sync

from finetune_app.candidates import talk
from finetune_app.candidates.speakers import Speaker
from finetune_app.core.errors import PlainError
from finetune_app.deployment.models import Transcript


@dataclass(frozen=True)
class Replayed:
    """What the other one says now; `trouble` where it said nothing."""

    label: str
    text: str = ""
    trouble: str = ""


def replay(transcript: Transcript, speaker: Speaker) -> Replayed:
    try:
        candidate = speaker.make()
        lane = replace(talk.lane_of(candidate), messages=transcript.messages)
        turn = async_to_sync(talk.whole)(talk.Asked(candidate.goal_id, transcript.prompt, [lane]))
    except (PlainError, talk.TalkError) as problem:
        return Replayed(speaker.label, trouble=str(getattr(problem, "message", problem)))
    return Replayed(speaker.label, turn.said.get("0", ""), turn.trouble.get("0", ""))
