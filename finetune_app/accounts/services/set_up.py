"""Set-up: a code, printed where the program was started, creates the first account.

The code is 80 random bits in characters that are hard to confuse. Only its hash is stored, and
it is deleted once the first account exists.
"""

import secrets
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import SetUpCode, User
from finetune_app.accounts.services.hashing import hash_secret
from finetune_app.accounts.services.people import make_account, set_operator
from finetune_app.accounts.services.teams import make_team
from finetune_app.core.errors import PlainError

LETTERS = "ABCDEFGHJKMNPQRSTVWXYZ0123456789"  # no I, L, O, U
GROUPS = 4
WRONG_CODES = 10
WRONG_WINDOW = timedelta(minutes=10)


def set_up_needed() -> bool:
    """True while there is no user."""
    return not User.objects.exists()


def set_up_url() -> str | None:
    """Make a new code and return the address that contains it; None once there is a user."""
    if not set_up_needed():
        return None
    code = "-".join("".join(secrets.choice(LETTERS) for _n in range(4)) for _n in range(GROUPS))
    with transaction.atomic():
        SetUpCode.objects.all().delete()
        SetUpCode.objects.create(code_hash=_hash(code))
    return f"{settings.PUBLIC_URL}{reverse('accounts:set_up')}?code={code}"


def check_code(code: str) -> str | None:
    """The hash of `code` if it is right, else None. Raises PlainError after too many tries."""
    row = SetUpCode.objects.first()
    if row is None:
        return None
    if _too_many(row):
        raise PlainError(
            _(
                "Too many wrong codes have been tried. Wait ten minutes, or start Finetune again: "
                "it then prints a new address with a new code."
            ),
            status=429,
            title=_("A short pause"),
        )
    given = _hash(code)
    if secrets.compare_digest(given, row.code_hash):
        return given
    _count_wrong(row)
    return None


def is_current(code_hash: str | None) -> bool:
    """Whether this is the hash of the current code, which changes with each start."""
    return bool(code_hash) and SetUpCode.objects.filter(code_hash=code_hash).exists()


@transaction.atomic
def set_up(*, code_hash: str, email: str, name: str, password: str, team_name: str) -> User:
    """Create the owner and the team. Raises PlainError if the code has been used."""
    used_up, _rows = SetUpCode.objects.filter(code_hash=code_hash).delete()
    if not used_up or not set_up_needed():
        raise PlainError(
            _("This code has been used already. If it was you, sign in."),
            status=409,
            title=_("Finetune is set up"),
        )
    return create_owner(email=email, name=name, password=password, team_name=team_name)


@transaction.atomic
def create_owner(*, email: str, name: str, password: str, team_name: str) -> User:
    """Create an account that owns a new team, and delete an open set-up code.

    The first account is the operator's: its code was printed where the program was started.
    """
    is_first = set_up_needed()
    owner = make_account(email=email, name=name, password=password)
    if is_first:
        set_operator(user=owner, on=True)
    make_team(owner=owner, name=team_name)
    SetUpCode.objects.all().delete()
    return owner


def _hash(code: str) -> str:
    """Ignores case, spaces and dashes."""
    return hash_secret("".join(letter for letter in code.upper() if letter.isalnum()))


def _too_many(row: SetUpCode) -> bool:
    since = row.wrong_since
    recent = since is not None and timezone.now() - since < WRONG_WINDOW
    return recent and row.wrong >= WRONG_CODES


def _count_wrong(row: SetUpCode) -> None:
    now = timezone.now()
    rows = SetUpCode.objects.filter(pk=row.pk)
    if row.wrong_since is None or now - row.wrong_since >= WRONG_WINDOW:
        rows.update(wrong=1, wrong_since=now)
    else:
        rows.update(wrong=F("wrong") + 1)
