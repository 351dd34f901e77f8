"""Step 5: members vote, ask others to, and see what people said."""

import json
from collections.abc import Generator
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction
from finetune_app.core.downloads import download
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page, whole_number
from finetune_app.evaluation.access import get_evaluation
from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.votes import links, presenters, results, services, voters
from finetune_app.evaluation.votes.ballots import make_ballot
from finetune_app.evaluation.votes.forms import VoteLinkForm
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal


@goal_page(Role.EDITOR, "GET", "POST")
def vote(request: HttpRequest, goal: Goal, evaluation_id: int) -> HttpResponse:
    """One pair of answers, names hidden: A, B, about the same, or neither."""
    evaluation = get_evaluation(goal, evaluation_id)
    voter = voters.member_voter(evaluation, request.user)
    if request.method == "POST":
        pressed, position = request.POST.get("vote", ""), whole_number(request.POST.get("pair"))
        if "undo" in request.POST:
            services.undo_last_vote(voter=voter)
        elif position is not None:
            services.vote(voter=voter, position=position, pressed=pressed)
        return redirect("evaluation:vote", goal_id=goal.pk, evaluation_id=evaluation.pk)
    if not evaluation.hides_names or not evaluation.comparisons.exists():
        return redirect("evaluation:detail", goal_id=goal.pk, evaluation_id=evaluation.pk)
    position, voted = voters.next_position(voter), voters.count_votes(voter)
    context: dict[str, Any] = {
        "goal": goal,
        "evaluation": evaluation,
        "position": position,
        "total": len(voter.pairs),
        "voted": voted,
        "left": len(voter.pairs) - voted,
    }
    if position is not None:
        context["ballot"] = make_ballot(evaluation, voter.pairs[position])
    return render_page(request, "evaluation/vote.html", context, partial="ballot")


@goal_page(Role.EDITOR, "POST")
def reveal(request: HttpRequest, goal: Goal, evaluation_id: int) -> HttpResponse:
    """Count the votes and show the names."""
    evaluation = get_evaluation(goal, evaluation_id)
    services.reveal(evaluation=evaluation)
    return redirect("evaluation:detail", goal_id=goal.pk, evaluation_id=evaluation.pk)


@goal_page(Role.VIEWER, "GET")
def vote_list(request: HttpRequest, goal: Goal, evaluation_id: int) -> HttpResponse:
    """What people said, who voted, and the links by which they do."""
    return _votes_page(request, goal, get_evaluation(goal, evaluation_id))


@goal_page(Role.EDITOR, "POST", audit=AuditAction.VOTE_LINK_CREATED)
def create_link(request: HttpRequest, goal: Goal, evaluation_id: int) -> HttpResponse:
    """Renders the page instead of a redirect, because the link is shown only once."""
    evaluation = get_evaluation(goal, evaluation_id)
    form = VoteLinkForm(request.POST)
    if not form.is_valid():
        return _votes_page(request, goal, evaluation, form=form, status=422)
    _link, secret = links.create_link(evaluation=evaluation, by=request.user, **form.cleaned_data)
    address = settings.PUBLIC_URL + reverse("public_vote:page", args=[secret])
    return _votes_page(request, goal, evaluation, new_link=address)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.VOTE_LINK_REVOKED)
def revoke_link(
    request: HttpRequest, goal: Goal, evaluation_id: int, vote_link_id: int
) -> HttpResponse:
    evaluation = get_evaluation(goal, evaluation_id)
    links.revoke_link(link=get_object_or_404(evaluation.vote_links, pk=vote_link_id))
    messages.success(request, _("That link no longer works. The votes that came by it stay."))
    return redirect("evaluation:votes", goal_id=goal.pk, evaluation_id=evaluation.pk)


@goal_page(Role.EDITOR, "GET", audit=AuditAction.PREFERENCES_EXPORTED)
def preference_pairs(request: HttpRequest, goal: Goal, evaluation_id: int) -> HttpResponseBase:
    """JSON lines: prompt, chosen, rejected."""
    evaluation = get_evaluation(goal, evaluation_id)
    if evaluation.hides_names:
        raise PlainError(
            _("Which answer people chose is shown once the votes are counted. Count them first."),
            status=409,
            title=_("Not counted yet"),
        )
    name = f"preferences-of-evaluation-{evaluation.pk}.jsonl"
    return download(
        request, _json_lines(evaluation), name=name, content_type="application/x-ndjson"
    )


def _json_lines(evaluation: Evaluation) -> Generator[bytes]:
    for pair in results.preference_pairs(evaluation):
        yield json.dumps(pair, ensure_ascii=False).encode() + b"\n"


def _votes_page(
    request: HttpRequest,
    goal: Goal,
    evaluation: Evaluation,
    *,
    form: VoteLinkForm | None = None,
    new_link: str = "",
    status: int = 200,
) -> HttpResponse:
    context = {
        "goal": goal,
        "evaluation": evaluation,
        "may_edit": may_edit(request),
        "form": form or VoteLinkForm(),
        "new_link": new_link,
        **presenters.votes_context(evaluation),
    }
    return render_page(request, "evaluation/votes.html", context, status=status)
