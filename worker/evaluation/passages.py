"""Retrieves passages for candidates with documents, before answers are generated."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from finetune_app.candidates.prompt_builder import Passage
from finetune_app.candidates.specs import Retrieval
from worker.channel import Channel
from worker.evaluation.inputs import Candidate, PromptRow

PassagesByPair = dict[tuple[int, int], list[Passage]]  # (candidate id, row id)


def retrieve_passages(
    candidates: Iterable[Candidate], rows: list[PromptRow], channel: Channel
) -> PassagesByPair:
    """Passages for each pair, best first; empty where no candidate has documents.

    Raises:
        UserError: an index is missing, so that nothing could be compared.
    """
    searching = [(one.id, one.knowledge) for one in candidates if one.knowledge]
    if not searching:
        return {}
    channel.emit("phase", phase="searching", message="Looking things up in your documents")
    found: dict[str, dict[int, list[Passage]]] = {}  # by retrieval; candidates may share one
    passages: PassagesByPair = {}
    for candidate_id, retrieval in searching:
        key = json.dumps(retrieval, sort_keys=True)
        if key not in found:
            found[key] = dict(_search(retrieval, rows, channel))
        passages |= {(candidate_id, row): best for row, best in found[key].items()}
    return passages


def _search(
    retrieval: Retrieval, rows: list[PromptRow], channel: Channel
) -> Iterator[tuple[int, list[Passage]]]:
    """(row id, passages) of each row."""
    from worker.knowledge.search import Index  # its libraries take a second to import

    index = Index(Path(retrieval["index"]))
    everything = index.all() if retrieval.get("whole") else []
    for row in rows:
        channel.check()
        yield row.row, everything or index.search(row.search_query, int(retrieval["count"]))
