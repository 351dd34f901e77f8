"""Context of the pages that show people's votes, with its sentences."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.core import charts
from finetune_app.evaluation.models import Evaluation, Vote
from finetune_app.evaluation.services import ours_in_sentences
from finetune_app.evaluation.votes import results
from finetune_app.evaluation.votes.ballots import count_different
from finetune_app.evaluation.votes.results import Agreement, ControlVotes, Preference
from finetune_app.labelling.agreement import MIN_ROWS, RELIABLE_ALPHA, TENTATIVE_ALPHA


def what_people_say(evaluation: Evaluation) -> list[str]:
    """What people say, for the page of a verdict by a measure; empty without a vote."""
    found = results.preference(evaluation)
    if evaluation.needs_person or not found.split.total:
        return []
    sentences = [preference_sentence(found, ours_in_sentences(evaluation)), measure_sentence(found)]
    return [one for one in sentences if one]


def votes_context(evaluation: Evaluation) -> dict[str, Any]:
    """Context of the page of votes. While names are hidden it says nothing of the preference: who
    sees it could stop when it looks good."""
    prompts, choices = count_different(evaluation), evaluation.counted_choices
    context: dict[str, Any] = {
        "prompts": prompts,
        "same_answers": evaluation.comparisons.count() - prompts,
        "voted": len(choices),
        "voters": results.voter_lines(evaluation),
        "agreement": results.agreement(choices),
        "controls": results.control_votes(evaluation),
        "links": list(evaluation.vote_links.usable().select_related("created_by")),
    }
    context["agreement_sentence"] = agreement_sentence(context["agreement"])
    context["control_sentences"] = [
        (control_sentence(one), one.doubtful) for one in context["controls"]
    ]
    if not evaluation.hides_names and context["voted"]:
        unvoted = max(0, prompts - context["voted"])
        # Links to choices that were counted end by themselves.
        is_open = bool(context["links"]) and unvoted > 0 and not evaluation.needs_person
        context |= _preference_context(evaluation, unvoted, is_open)
    return context


def _preference_context(evaluation: Evaluation, unvoted: int, is_open: bool) -> dict[str, Any]:
    """While votes come in, neither whether it is settled nor how many more would settle it is said:
    who looks again and again and stops when it looks good is wrong too often."""
    found = results.preference(evaluation)
    more = 0 if is_open else found.more or 0
    sentences = [
        interval_sentence(found),
        open_sentence() if is_open else settled_sentence(found, unvoted),
        measure_sentence(found),
    ]
    return {
        "marks": charts.verdict_marks(*found.split, needed=more if more <= unvoted else 0),
        "lead": preference_sentence(found, ours_in_sentences(evaluation)),
        "sentences": [one for one in sentences if one],
    }


def preference_sentence(found: Preference, ours: str) -> str:
    """ "Not knowing which was which, people preferred the tuned model on 14 of 20 prompts, …" """
    return _(
        "Not knowing which was which, people preferred %(ours)s on %(wins)d of %(total)d prompts, "
        "the base model on %(losses)d, and neither on %(ties)d."
    ) % {
        "ours": ours,
        "wins": found.split.wins,
        "losses": found.split.losses,
        "ties": found.split.ties,
        "total": found.split.total,
    }


def interval_sentence(found: Preference) -> str:
    """Empty where nobody preferred anything."""
    decided = found.split.decided
    if not decided:
        return ""
    return ngettext(
        "Of the %(n)d prompt with a preference it won %(share)d %%. The true share is probably "
        "between %(low)d and %(high)d %%.",
        "Of the %(n)d prompts with a preference it won %(share)d %%. The true share is probably "
        "between %(low)d and %(high)d %%.",
        decided,
    ) % {
        "n": decided,
        "share": round(100 * found.split.wins / decided),
        "low": round(100 * found.interval.low),
        "high": round(100 * found.interval.high),
    }


def open_sentence() -> str:
    return _(
        "Votes are still coming in. Whether they decide it is said when voting is closed: when "
        "every link was revoked or has ended, or every prompt has a vote."
    )


def settled_sentence(found: Preference, unvoted: int) -> str:
    """Whether it is settled, and what would settle it. `unvoted`: prompts without a vote."""
    if found.settled:
        return _("That would be rare if people saw no difference: it is settled.")
    if found.more is None:
        return _("That could well be chance: if there is a difference, it is small.")
    if found.more <= unvoted:
        return ngettext(
            "That could be chance. About %(n)d more vote would settle it.",
            "That could be chance. About %(n)d more votes would settle it.",
            found.more,
        ) % {"n": found.more}
    return _(
        "That could be chance. It takes about %(n)d more test prompts to settle it; more votes on "
        "these alone hardly will."
    ) % {"n": found.more}


def measure_sentence(found: Preference) -> str:
    """How often people and the measure chose the same answer; empty where both never chose."""
    if not found.both_decided:
        return ""
    return _(
        "Where people and the measure both saw a difference, they agree on %(same)d of %(n)d "
        "prompts."
    ) % {"same": found.same_as_measure, "n": found.both_decided}


def agreement_sentence(found: Agreement) -> str:
    if found.prompts < MIN_ROWS:
        return _(
            "Too few to tell yet: it takes %(n)d prompts on which several people have voted."
        ) % {"n": MIN_ROWS}
    if found.alpha is None:
        return _("All of them chose the same every time, so there is nothing to compare.")
    if found.alpha >= RELIABLE_ALPHA:
        return _("They agree well: another few voters would say the same.")
    if found.alpha >= TENTATIVE_ALPHA:
        return _("They agree fairly well.")
    if found.alpha > 0:
        return _("They often disagree: what is better here is partly a matter of taste.")
    return _("They agree no more often than chance would. Say in the link what to look at.")


def control_sentence(found: ControlVotes) -> str:
    numbers = {"preferred": found.preferred, "n": found.votes}
    if found.baseline == Vote.Control.REPEAT:
        words = _("%(preferred)d of %(n)d preferred the question repeated") % numbers
        meaning = _("the task or the answers are unclear")
    else:
        words = _("%(preferred)d of %(n)d preferred the answer of the nearest example") % numbers
        meaning = _("looking up an example serves people as well")
    return f"{words}: {meaning}." if found.doubtful else f"{words}."
