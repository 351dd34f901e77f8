"""How fast somebody answers, and how long the rest will take them."""

from datetime import timedelta
from itertools import pairwise

from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.templatetags.ui import duration
from finetune_app.datasets.models import Dataset

WINDOW = timedelta(minutes=30)
BREAK = timedelta(minutes=3)  # a longer pause is not counted as work
LEAST = 5  # answers from which a pace can be told
MOST = 200


def of(dataset: Dataset, user: User, left: int) -> str:
    """ "About 6 a minute, 12 minutes left"; empty while that cannot be told, or nothing is left."""
    since = timezone.now() - WINDOW
    mine = dataset.edits.filter(
        by=user, at__gte=since, undone_at=None, undoes=None, source_import=None
    )
    moments = list(mine.order_by("-pk").values_list("at", flat=True)[:MOST])
    gaps = [later - earlier for later, earlier in pairwise(moments) if later - earlier < BREAK]
    if len(gaps) < LEAST - 1 or not left:
        return ""
    each = sum((gap.total_seconds() for gap in gaps), 0.0) / len(gaps)
    a_minute = 60 / max(each, 0.5)
    pace = (
        _("about %(n)d a minute") % {"n": round(a_minute)}
        if a_minute >= 1
        else _("about %(n)d an hour") % {"n": max(round(a_minute * 60), 1)}
    )
    return _("%(pace)s, %(time)s left") % {"pace": pace, "time": duration(each * left)}
