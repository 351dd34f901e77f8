"""The request as views see it, after our middleware."""

from django.http import HttpRequest as DjangoRequest
from django_htmx.middleware import HtmxDetails

from finetune_app.accounts.models import Membership, Team, User


class HttpRequest(DjangoRequest):
    """A request with its user, team and membership."""

    htmx: HtmxDetails
    user: User
    team: Team | None
    membership: Membership | None
    memberships: list[Membership]  # of the user
