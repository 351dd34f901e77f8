"""Whether there is a second factor, and where passkeys work."""

import ipaddress

from allauth.mfa.models import Authenticator
from django.http import HttpRequest

from finetune_app.accounts.models import User

FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def has_second_factor(user: User) -> bool:
    return bool(Authenticator.objects.filter(user=user, type__in=FACTORS).exists())


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
