"""The documents in which a candidate looks things up."""

from django.db.models import Model
from django.utils.translation import gettext as _

from finetune_app.candidates.models import Candidate
from finetune_app.candidates.prompt_builder import DEFAULT_CONTEXT_LENGTH
from finetune_app.candidates.specs import Retrieval
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_folder
from finetune_app.jobs.models import ACTIVE, CAN_CONTINUE
from finetune_app.knowledge.models import Knowledge
from finetune_app.knowledge.passage_counts import DEFAULT_PASSAGE_COUNT
from finetune_app.knowledge.services import fits_whole, manifest_of, register_index_user


def retrieval_of(candidate: Candidate) -> Retrieval | None:
    knowledge = candidate.knowledge
    if knowledge is None:
        return None
    manifest = manifest_of(knowledge, candidate.knowledge_index)
    if manifest is None:
        raise PlainError(
            _(
                "The documents have changed since “%(name)s” was made, so what it looked things up "
                "in is no longer here. Open the documents page, wait until they can be searched, "
                "and start again with today's documents."
            )
            % {"name": candidate.name},
            status=409,
        )
    other_chars = len(candidate.instructions)
    other_chars += sum(len(shot["prompt"]) + len(shot["answer"]) for shot in candidate.shots)
    is_newest = candidate.knowledge_index == knowledge.index
    characters = knowledge.characters if is_newest else manifest["characters"]
    index = local_folder(f"{knowledge.folder}/index-{candidate.knowledge_index}")
    return {
        "index": str(index),
        "count": candidate.passages or DEFAULT_PASSAGE_COUNT,
        "whole": fits_whole(characters, context_length_of(candidate), other_chars),
    }


def require_documents(candidate: Candidate) -> None:
    """Raises PlainError if the documents it looks things up in are gone."""
    retrieval_of(candidate)


def keep_indexes_of(runs: type[Model], *fields: str) -> None:
    """Have the indexes that its candidates search kept while the job of a run waits, runs or can be
    continued. fields: those of the model that name candidates. Called in `AppConfig.ready()`."""

    def numbers_of(knowledge: Knowledge) -> set[int]:
        going_on = runs._default_manager.filter(job__state__in=(*ACTIVE, *CAN_CONTINUE))
        found: set[int] = set()
        for name in fields:
            searching = going_on.filter(**{f"{name}__knowledge": knowledge})
            found |= set(searching.values_list(f"{name}__knowledge_index", flat=True))
        return found

    register_index_user(numbers_of)


def context_length_of(candidate: Candidate) -> int:
    """Of its model, in tokens."""
    model = candidate.endpoint or candidate.base_model
    return (model.context if model else 0) or DEFAULT_CONTEXT_LENGTH
