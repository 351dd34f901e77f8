"""Sign-in by OpenID Connect, as the environment configures it. Read by settings.py."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from finetune_app.core.environment import flag

NAMES = ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "NAME", "ALLOWED_DOMAINS")
DOMAIN = re.compile(r"[\w-]+(\.[\w-]+)+")
PROVIDER_ID = "oidc"  # in the address that the provider sends people back to
AGAIN = "again"  # kept while somebody is at the provider, who was asked to sign in once more
CONFIRMED_AT = "confirmed_with_provider_at"  # in the session: when they came back from that


class OidcError(Exception):
    """The message says which variable to set, and to what."""


@dataclass(frozen=True)
class Oidc:
    """The provider, its name on the button, and the domains whose people may join by themselves."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    name: str
    domains: frozenset[str]
    trusts_email: bool  # the provider confirms addresses, though it does not say so

    @property
    def allauth_settings(self) -> dict[str, Any]:
        """The value of SOCIALACCOUNT_PROVIDERS."""
        app = {
            "provider_id": PROVIDER_ID,
            "name": self.name,
            "client_id": self.client_id,
            "secret": self.client_secret,
            "settings": {
                "server_url": self.issuer,
                "oauth_pkce_enabled": True,
                "email_authentication": True,
                "verified_email": self.trusts_email,
            },
        }
        return {"openid_connect": {"APPS": [app]}}


def oidc_from(environment: Mapping[str, str]) -> Oidc | None:
    """None where no provider is configured. Raises OidcError, or ImproperlyConfigured for
    a wrong yes or no."""
    given = {name: environment.get(f"OIDC_{name}", "").strip() for name in NAMES}
    if not given["ISSUER"]:
        if given["CLIENT_ID"] or given["CLIENT_SECRET"]:
            raise OidcError("OIDC_CLIENT_ID is set, but OIDC_ISSUER, the provider, is not.")
        return None
    for name in ("CLIENT_ID", "CLIENT_SECRET"):
        if not given[name]:
            raise OidcError(
                f"OIDC_ISSUER is set, but OIDC_{name}, which the provider gave, is not."
            )
    issuer = given["ISSUER"].rstrip("/")
    parts = urlsplit(issuer)
    here = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if not parts.hostname or (parts.scheme != "https" and not (here and parts.scheme == "http")):
        raise OidcError("OIDC_ISSUER has to be an address that begins with https://.")
    return Oidc(
        issuer=issuer,
        client_id=given["CLIENT_ID"],
        client_secret=given["CLIENT_SECRET"],
        name=given["NAME"] or parts.hostname,
        domains=_domains(given["ALLOWED_DOMAINS"]),
        trusts_email=flag("OIDC_TRUSTS_EMAIL", environment=environment),
    )


def _domains(listed: str) -> frozenset[str]:
    """The domains of "shop.example, @kettle.example". Raises OidcError for what is no domain."""
    domains = {one.strip().lower().removeprefix("@") for one in listed.split(",")} - {""}
    for domain in sorted(domains):
        if not DOMAIN.fullmatch(domain):
            raise OidcError(
                f"OIDC_ALLOWED_DOMAINS lists {domain!r}, which is no domain. Set it to what comes "
                "after the @ of your people's addresses, with commas between: "
                "shop.example,kettle.example."
            )
    return frozenset(domains)
