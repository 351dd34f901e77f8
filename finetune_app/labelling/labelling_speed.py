"""How fast a user answers rows, and how long the remaining rows will take."""

from datetime import timedelta
from itertools import pairwise

from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.templatetags.ui import duration
from finetune_app.datasets.models import Dataset

WINDOW = timedelta(minutes=30)
MAX_PAUSE = timedelta(minutes=3)  # a longer one is not counted as work
MIN_ANSWERS = 5  # below that no speed is shown
MAX_ANSWERS = 200


def describe_speed(dataset: Dataset, user: User, left: int) -> str:
    """A text such as "about 6 a minute, 12 minutes left"; empty with too few recent answers."""
    since = timezone.now() - WINDOW
    edits = dataset.edits.filter(
        by=user, at__gte=since, undone_at=None, undoes=None, source_import=None
    )
    moments = list(edits.order_by("-pk").values_list("at", flat=True)[:MAX_ANSWERS])
    gaps = [later - earlier for later, earlier in pairwise(moments) if later - earlier < MAX_PAUSE]
    if len(gaps) < MIN_ANSWERS - 1 or not left:
        return ""
    seconds_per_row = sum((gap.total_seconds() for gap in gaps), 0.0) / len(gaps)
    per_minute = 60 / max(seconds_per_row, 0.5)
    pace = (
        _("about %(n)d a minute") % {"n": round(per_minute)}
        if per_minute >= 1
        else _("about %(n)d an hour") % {"n": max(round(per_minute * 60), 1)}
    )
    return _("%(pace)s, %(time)s left") % {"pace": pace, "time": duration(seconds_per_row * left)}
