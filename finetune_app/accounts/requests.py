"""The request as views see it, after our middleware."""

from django.http import HttpRequest as DjangoRequest
from django_htmx.middleware import HtmxDetails

from finetune_app.accounts.models import Membership, Team, User


class HttpRequest(DjangoRequest):
    """Who asks, for which team, in which role."""

    htmx: HtmxDetails
    user: User
    team: Team | None
    membership: Membership | None
