"""Retrieves passages for candidates with documents, before answers are generated."""

from __future__ import annotations

import json
from collections.abc import Iterable
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
    searching = [(one, one.knowledge) for one in candidates if one.knowledge]
    if not searching:
        return {}
    channel.emit("phase", phase="searching", message="Looking things up in your documents")
    searches: dict[str, _Search] = {}  # by retrieval; candidates may share one
    passages: PassagesByPair = {}
    for candidate, retrieval in searching:
        key = json.dumps(retrieval, sort_keys=True)
        if key not in searches:
            searches[key] = _Search(retrieval)
        for row in rows:
            channel.check()
            passages[candidate.id, row.row] = searches[key].passages_for(candidate, row)
    return passages


class _Search:
    """A search in one index; each row is searched once."""

    def __init__(self, retrieval: Retrieval) -> None:
        from worker.knowledge.search import Index  # its libraries take a second to import

        self.index = Index(Path(retrieval["index"]))
        self.count = int(retrieval["count"])
        self.everything = self.index.all() if retrieval.get("whole") else []
        self.found: dict[int, list[Passage]] = {}  # by row id

    def passages_for(self, candidate: Candidate, row: PromptRow) -> list[Passage]:
        """All passages, where they are short enough for every prompt and fit beside this one."""
        everything = self.everything
        if everything and candidate.build_prompt(row.messages, everything).passages == everything:
            return everything
        if row.row not in self.found:
            self.found[row.row] = self.index.search(row.search_query, self.count)
        return self.found[row.row]
