"""What changed from one training to another: the examples and the settings."""

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.training.models import Training
from finetune_app.training.presenters import settings_in_words


def changes(before: Training, after: Training) -> list[str]:
    """In words, the examples first; empty where both learned from the same in the same way."""
    return [*_examples(before, after), *_settings(before, after)]


def _examples(before: Training, after: Training) -> list[str]:
    if before.version_id == after.version_id:
        return []
    counts = [one.version.counts.get("train", 0) for one in (before, after)]
    more = counts[1] - counts[0]
    if more > 0:
        words = ngettext("%(n)d example more", "%(n)d examples more", more)
    elif more < 0:
        words = ngettext("%(n)d example fewer", "%(n)d examples fewer", -more)
    else:
        words = _("Other examples")
    return [words % {"n": abs(more)} + _(" (version %(v)d)") % {"v": after.version.number}]


def _settings(before: Training, after: Training) -> list[str]:
    old = dict(settings_in_words(before.spec))
    return [
        _("%(setting)s: %(now)s, was %(before)s")
        % {"setting": label, "now": value, "before": old.get(label, _("not set"))}
        for label, value in settings_in_words(after.spec)
        if old.get(label) != value
    ]
