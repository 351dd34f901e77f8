"""Whether there is a second factor, whether a team asks for one, and where passkeys work."""

import ipaddress

from allauth.mfa.models import Authenticator
from django.http import HttpRequest
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team, User
from finetune_app.core.errors import PlainError

FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def has_second_factor(user: User) -> bool:
    return bool(Authenticator.objects.filter(user=user, type__in=FACTORS).exists())


def users_without_second_factor(team: Team) -> set[int]:
    """The ids of the members that have none."""
    members = set(team.memberships.values_list("user_id", flat=True))
    factors = Authenticator.objects.filter(user__in=members, type__in=FACTORS)
    return members - set(factors.values_list("user_id", flat=True))


def set_second_factor_rule(*, team: Team, by: User, required: bool) -> None:
    """Raises PlainError if who asks others for a second factor has none."""
    if required and not has_second_factor(by):
        raise PlainError(
            _("Add a second factor to your own account first, then ask the others for one."),
            status=409,
            title=_("You have none yourself"),
        )
    Team.objects.filter(pk=team.pk).update(requires_second_factor=required)


def remove_second_factor(user: User) -> None:
    """Remove all of it, recovery codes too."""
    Authenticator.objects.filter(user=user).delete()


def passkeys_work(request: HttpRequest) -> bool:
    """Whether browsers make passkeys for the address of this request: they want a name, not a
    number, and https but for localhost."""
    host = request.get_host().rpartition(":")[0] or request.get_host()
    try:
        ipaddress.ip_address(host.strip("[]"))
        return False
    except ValueError:
        return request.is_secure() or host == "localhost"


def somebody_has_a_passkey() -> bool:
    return bool(Authenticator.objects.filter(type=Authenticator.Type.WEBAUTHN).exists())
