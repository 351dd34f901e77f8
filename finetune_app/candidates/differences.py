"""What changed between two candidates, in words."""

from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.candidates.models import Candidate
from finetune_app.core.thinking import NO


def differences(before: Candidate, after: Candidate) -> list[str]:
    """How `after` differs from `before`, in words, the most important difference first."""
    found = []
    if before.model_name != after.model_name:
        found.append(
            _("%(model)s instead of %(before)s")
            % {"model": after.model_name, "before": before.model_name}
        )
    if (before.training_id, before.step) != (after.training_id, after.step):
        found.append(_training(before, after))
    if before.instructions != after.instructions:
        found.append(
            _("Other instructions")
            if before.instructions and after.instructions
            else _("With instructions")
            if after.instructions
            else _("Without instructions")
        )
    if before.shots != after.shots:
        count = len(after.shots)
        found.append(
            ngettext("%(n)d example in its prompt", "%(n)d examples in its prompt", count)
            % {"n": count}
        )
    if before.knowledge_id != after.knowledge_id:
        found.append(
            _("Searches your documents")
            if after.knowledge_id
            else _("No longer searches your documents")
        )
    elif before.knowledge_index != after.knowledge_index:
        found.append(_("The documents as they are now"))
    if before.thinking != after.thinking:
        found.append(
            _("Answers at once")
            if after.thinking == NO
            else _("Thinks before it answers (%(how)s)") % {"how": after.get_thinking_display()}
        )
    found += rounding(before, after)
    if before.sampling != after.sampling:
        found.append(_("Other settings for how freely it answers"))
    return found or [_("Made anew from the same parts")]


def _training(before: Candidate, after: Candidate) -> str:
    if after.training is None:
        return _("Without a training")
    if before.training is None:
        return _("After %(training)s") % {"training": after.training_name}
    return capfirst(
        _("%(now)s instead of %(before)s")
        % {"now": after.training_name, "before": before.training_name}
    )


def rounding(before: Candidate, after: Candidate) -> list[str]:
    """Whether the weights are now rounded to 8 bits, or no longer."""
    if before.in_8_bits == after.in_8_bits:
        return []
    if after.in_8_bits:
        return [_("Weights rounded to 8 bits")]
    return [_("Weights no longer rounded to 8 bits")]
