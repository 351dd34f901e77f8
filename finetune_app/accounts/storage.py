"""How many bytes a team may store, and how much of the disk stays free.

Rooms register the models of their files in `AppConfig.ready()`.
"""

from collections.abc import Callable

from django.conf import settings
from django.db.models import Model, Sum
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team
from finetune_app.core import disk, sizes
from finetune_app.core.errors import PlainError

FILES: list[tuple[type[Model], str]] = []  # models with a `size`, and their way to the team
_others: list[Callable[[Team], int]] = []  # bytes of files that have no row


def register(model: type[Model], team: str, other: Callable[[Team], int] | None = None) -> None:
    FILES.append((model, team))
    if other:
        _others.append(other)


def stored_bytes(team: Team) -> int:
    sizes = (
        model._default_manager.filter(**{path: team}).aggregate(total=Sum("size"))["total"] or 0
        for model, path in FILES
    )
    return sum(sizes) + sum(measure(team) for measure in _others)


def free_disk_bytes() -> int:
    """What may still be written, besides the reserve."""
    return disk.free_bytes(settings.DATA_DIR)


def bytes_left(team: Team) -> int:
    """For files of the team: the smaller of its share and the disk."""
    return max(min(settings.MAX_TEAM_BYTES - stored_bytes(team), free_disk_bytes()), 0)


def require_space(team: Team, size: int) -> None:
    """Raises PlainError when `size` more bytes exceed the team's share."""
    used = stored_bytes(team)
    if used + size <= settings.MAX_TEAM_BYTES:
        return
    raise PlainError(
        _(
            "Your team's files take %(used)s of the %(most)s there are for them, and "
            "this one does not fit. Delete imports, documents, trainings, exports or goals that "
            "are not needed any more, or ask who runs Finetune for more space."
        )
        % {"used": sizes.size(used), "most": sizes.size(settings.MAX_TEAM_BYTES)},
        status=413,
        title=_("No space left for your team"),
    )
