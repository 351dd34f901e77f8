"""All hosts of an installation have the same secrets; one with others says so when it starts.

The database keeps a fingerprint of each secret, which gives nothing away. `manage.py prepare`
writes it when it is new or when its owner says that the secret was meant to change. Not for the
secret of the engine: one that differs is refused by the engine itself.
"""

import logging
import sys

from django.conf import settings
from django.db import DatabaseError, connection

from finetune_app.core.models import SecretFingerprint
from finetune_app.core.secrets import Secrets, fingerprint

log = logging.getLogger(__name__)

WHAT_TO_DO = (
    "{names} of this host {are} not what this installation was started with: sessions, API keys or "
    "stored tokens would not work here. Set what the other hosts have, or copy their "
    "DATA_DIR/secrets.json (docs/secrets.md). If the change was meant, run "
    "`manage.py prepare --accept-secrets` once."
)


def accepted(secrets: Secrets) -> dict[str, list[str]]:
    """The secrets that each host must share; the newest first, with those still accepted."""
    return {
        "secret_key": [secrets["secret_key"], *secrets["secret_key_fallbacks"]],
        "field_keys": secrets["field_keys"],
        "key_pepper": [secrets["key_pepper"], *secrets["key_pepper_fallbacks"]],
    }


def names_that_differ() -> list[str]:
    """The environment variables of those that the installation does not know; none in a database
    of an older version."""
    if SecretFingerprint._meta.db_table not in connection.introspection.table_names():
        return []
    noted = dict(SecretFingerprint.objects.values_list("name", "fingerprint"))
    return [
        name.upper()
        for name, values in accepted(settings.SECRETS).items()
        if name in noted and noted[name] not in map(fingerprint, values)
    ]


def note(secrets: Secrets) -> None:
    """Write the fingerprints of these secrets, in place of those before."""
    for name, values in accepted(secrets).items():
        SecretFingerprint.objects.update_or_create(
            name=name, defaults={"fingerprint": fingerprint(values[0])}
        )


def explain(names: list[str]) -> str:
    return WHAT_TO_DO.format(names=", ".join(names), are="is" if len(names) == 1 else "are")


def require_shared_secrets() -> None:
    """Ends this process with a sentence where its secrets are others. Call it before any fork."""
    try:
        names = names_that_differ()
    except DatabaseError as error:  # away, or not migrated yet
        log.warning("whether the secrets of this host are right was not checked: %s", error)
        return
    finally:
        connection.close()
        if hasattr(connection, "close_pool"):  # forks must not share the connections of a pool
            connection.close_pool()
    if names:
        sys.exit(explain(names))
