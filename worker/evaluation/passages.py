"""What each candidate with documents is shown for each question, looked up beforehand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from finetune_app.candidates.prompt_builder import Passage
from worker.channel import Channel
from worker.evaluation.inputs import Candidate, PromptRow

Shown = dict[tuple[int, int], list[Passage]]  # by candidate and row


def retrieve_passages(
    candidates: Iterable[Candidate], questions: list[PromptRow], channel: Channel
) -> Shown:
    """Passages, best first. Raises UserError where an index is gone: then nothing is compared."""
    searching = [one for one in candidates if one.knowledge]
    if not searching:
        return {}
    channel.emit("phase", phase="searching", message="Looking things up in your documents")
    found: dict[str, dict[int, list[Passage]]] = {}  # several candidates may search alike
    shown: Shown = {}
    for candidate in searching:
        how = json.dumps(candidate.knowledge, sort_keys=True)
        if how not in found:
            found[how] = dict(_search(candidate.knowledge or {}, questions, channel))
        shown |= {(candidate.id, row): passages for row, passages in found[how].items()}
    return shown


def _search(
    knowledge: dict[str, Any], questions: list[PromptRow], channel: Channel
) -> Iterator[tuple[int, list[Passage]]]:
    """(row, what is shown for it) of each question."""
    from worker.knowledge.search import Index  # its libraries take a second to import

    index = Index(Path(knowledge["index"]))
    everything = index.all() if knowledge.get("whole") else []
    for question in questions:
        channel.check()
        passages = everything or index.search(question.sought, int(knowledge["count"]))
        yield question.row, passages
