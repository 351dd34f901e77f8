"""Search of the model hub: models that can be installed, with licence, size and downloads."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team
from finetune_app.basemodels import hub, services
from finetune_app.basemodels.catalogue import entry_with_hub_id, hub_address
from finetune_app.core.errors import PlainError

MAX_RESULTS = 20
MAX_WORDS = 100  # characters
REVISION = re.compile(r"[0-9a-f]{40}", re.ASCII)
ASKED = {
    "pipeline_tag": "text-generation",
    "filter": ["transformers", "safetensors"],  # what can be installed at all
    "sort": "downloads",
    "limit": MAX_RESULTS,
    "expand": ["cardData", "downloads", "gated", "pipeline_tag", "safetensors", "sha", "tags"],
}
BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "BF16": 2, "F16": 2, "I16": 2}  # the others: 1
GATES = ("auto", "manual")


@dataclass(frozen=True)
class FoundModel:
    """A model as the hub describes it; 0 and "" where it says nothing.

    revision: the commit that was described, which is what would be installed. size: bytes of the
    weights. gated: "" for everybody, "auto" once the licence is accepted, "manual" once its maker
    agrees, too.
    """

    hub_id: str
    revision: str
    licence: str
    parameters: int
    size: int
    downloads: int
    gated: str
    installed: bool = False

    @property
    def page(self) -> str:
        return f"{hub_address()}/{self.hub_id}"

    @property
    def millions(self) -> int:
        return round(self.parameters / 1e6)


def search(team: Team, words: str) -> list[FoundModel]:
    """The most downloaded models with these words in their names. The words go to the hub, and the
    team's token with them, so that its private models are found.

    Raises PlainError for no or too many words, and where the hub gives no answer.
    """
    words = words.strip()
    if not words or len(words) > MAX_WORDS or not words.isprintable():
        raise PlainError(_("Enter a part of a model's name."), status=422)
    params = ASKED | {"search": words}
    answer = hub.get_json("/api/models", token=services.hub_token(team), params=params)
    if not isinstance(answer, list):
        raise hub.unreadable()
    found = [_model(team, one) for one in answer[:MAX_RESULTS] if isinstance(one, dict)]
    return [one for one in found if one]


def _model(team: Team, found: Mapping[str, Any]) -> FoundModel | None:
    """None where it could not be installed: its name or its commit is not one."""
    hub_id, revision = hub.text(found, "id", 193), hub.text(found, "sha", 40)
    if not services.HUB_ID.fullmatch(hub_id) or ".." in hub_id or not REVISION.fullmatch(revision):
        return None
    entry = entry_with_hub_id(hub_id)
    gate = hub.text(found, "gated", 16)
    tensors = found.get("safetensors")
    return FoundModel(
        hub_id=hub_id,
        revision=revision,
        licence=hub.licence_of(found),
        parameters=hub.count(tensors, "total"),
        size=_size(tensors),
        downloads=hub.count(found, "downloads"),
        gated=gate if gate in GATES else "",
        installed=services.is_installed(entry.slug if entry else services.slug_for(team, hub_id)),
    )


def _size(tensors: Any) -> int:
    by_format = tensors.get("parameters") if isinstance(tensors, dict) else None
    if not isinstance(by_format, dict):
        return 0
    return sum(BYTES.get(str(name), 1) * hub.count(by_format, name) for name in by_format)
