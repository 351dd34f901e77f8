"""Template tags with which pages of other apps show versions."""

from dataclasses import dataclass

from django import template

from finetune_app.datasets.models import Dataset
from finetune_app.datasets.services import count_label
from finetune_app.versions import reader
from finetune_app.versions.models import Version
from finetune_app.versions.services import freeze_blocker

register = template.Library()


@dataclass(frozen=True)
class FreezeStatus:
    version: Version | None  # the newest
    frozen: bool  # whether it is up to date
    next_number: int
    blocker: str  # why it cannot be frozen now; "" if nothing blocks, or it is frozen


@register.simple_tag
def freeze_status(dataset: Dataset) -> FreezeStatus:
    version = dataset.versions.first()
    frozen = version is not None and version.created_at >= dataset.changed_at
    return FreezeStatus(
        version=version,
        frozen=frozen,
        next_number=(version.number if version else 0) + 1,
        blocker="" if frozen else freeze_blocker(dataset),
    )


@register.simple_tag
def versions_with_trash(dataset: Dataset) -> list[tuple[Version, str]]:
    """The versions that contain examples now in the trash, and how many, such as "2 examples"."""
    return [(version, count_label(count)) for version, count in reader.versions_with_trash(dataset)]
