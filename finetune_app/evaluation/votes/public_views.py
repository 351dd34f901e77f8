"""The page behind a link for votes, for people without an account (docs/decisions/0039).

It is rendered without the request, so that no session and no name of a person, team, goal, model or
candidate can be in it.
"""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from finetune_app.accounts.access import public
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import client_ip, whole_number
from finetune_app.evaluation.models import VoteLink, Voter
from finetune_app.evaluation.votes import limits, links, services, voters
from finetune_app.evaluation.votes.ballots import MAX_PAIRS_BY_LINK, count_different, make_ballot
from finetune_app.evaluation.votes.forms import VoterForm

SALT = "evaluation.voter"
SECONDS_PER_PAIR = 20


@public("GET", "POST")
def page(request: HttpRequest, vote_secret: str) -> HttpResponse:
    """The welcome, then one pair after the other, then the thanks."""
    link = links.find_link(vote_secret)
    if link is None:
        return _respond("closed", {}, status=404)
    voter = _known_voter(request, link)
    if request.method != "POST":
        return _show(request, link, voter)
    try:
        if "start" in request.POST:
            return _start(request, link, voter)
        if voter and voter.pk:
            _vote(request, link, voter)
    except limits.VoteLimitExceeded as exceeded:
        return _pause(exceeded)
    except PlainError as error:
        return _refused(error.title, error.message, error.status)
    return _to_next(request)


def _start(request: HttpRequest, link: VoteLink, voter: Voter | None) -> HttpResponse:
    """Become a voter: a member by their account, everybody else by a new cookie.

    Raises VoteLimitExceeded.
    """
    response = _to_next(request)
    if voter and voter.pk:
        return response
    form = VoterForm(request.POST)
    if not form.is_valid():
        return _welcome(request, link, voter, form, status=422)
    limits.count_voter(link, client_ip(request))
    if voter:
        voters.store_member(voter, link)
        return response
    guest = voters.guest_voter(link=link, name=form.cleaned_data["name"])
    response.set_signed_cookie(
        _cookie_name(link),
        str(guest.pk),
        salt=SALT,
        expires=link.expires_at,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


def _vote(request: HttpRequest, link: VoteLink, voter: Voter) -> None:
    """Raises VoteLimitExceeded, and PlainError for a pair or a button that does not exist."""
    position = whole_number(request.POST.get("pair"))
    if "undo" not in request.POST and position is None:
        return
    limits.count_vote(link, client_ip(request))
    if position is None:
        services.undo_last_vote(voter=voter)
    else:
        services.vote(voter=voter, position=position, pressed=request.POST.get("vote", ""))


def _known_voter(request: HttpRequest, link: VoteLink) -> Voter | None:
    """Members of the team are known by their account, everybody else by a signed cookie."""
    team_id = link.evaluation.goal.team_id
    if any(one.team_id == team_id for one in request.memberships):
        return voters.member_voter(link.evaluation, request.user)
    known = whole_number(request.get_signed_cookie(_cookie_name(link), default="", salt=SALT))
    return link.voters.filter(pk=known, user=None).first() if known else None


def _cookie_name(link: VoteLink) -> str:
    prefix = "__Host-" if settings.SESSION_COOKIE_SECURE else ""
    return f"{prefix}voter-{link.pk}"


def _show(request: HttpRequest, link: VoteLink, voter: Voter | None) -> HttpResponse:
    if voter is None or voter.pk is None:
        return _welcome(request, link, voter, VoterForm())
    voted, position = voters.count_votes(voter), voters.next_position(voter)
    context = {
        "csrf_token": get_token(request),
        "note": link.note,
        "not_blind": not voter.blind,
        "position": position,
        "voted": voted,
        "total": len(voter.pairs),
    }
    if position is None or "stop" in request.GET:
        return _respond("thanks", context)
    context["ballot"] = make_ballot(link.evaluation, voter.pairs[position])
    return _respond("ballot", context)


def _welcome(
    request: HttpRequest,
    link: VoteLink,
    member: Voter | None,
    form: VoterForm,
    status: int = 200,
) -> HttpResponse:
    pairs = min(count_different(link.evaluation), MAX_PAIRS_BY_LINK)
    context = {
        "csrf_token": get_token(request),
        "note": link.note,
        "not_blind": member is not None and not member.blind,
        "form": None if member else form,
        "minutes": max(1, round(pairs * SECONDS_PER_PAIR / 60)),
    }
    return _respond("start", context, status)


def _pause(exceeded: limits.VoteLimitExceeded) -> HttpResponse:
    words = (
        _("That was a lot at once. Wait a minute and go on; your votes so far are kept.")
        if exceeded.counted
        else _("Votes cannot be taken now. Try again in a minute; your votes so far are kept.")
    )
    response = _refused(_("A short pause"), words, 429 if exceeded.counted else 503)
    response["Retry-After"] = "60"
    return response


def _refused(title: str, message: str, status: int) -> HttpResponse:
    return _respond("refused", {"title": title, "message": message}, status)


def _to_next(request: HttpRequest) -> HttpResponse:
    """To the same address, which then shows what comes next."""
    return _private(HttpResponseRedirect(request.path))


def _respond(name: str, context: Mapping[str, Any], status: int = 200) -> HttpResponse:
    html = render_to_string(f"public_vote/{name}.html", dict(context))
    return _private(HttpResponse(html, status=status))


def _private(response: HttpResponse) -> HttpResponse:
    """Not cached, not indexed."""
    response["Cache-Control"] = "no-store"
    response["X-Robots-Tag"] = "noindex"
    return response
