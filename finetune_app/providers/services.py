"""Add, change, try and delete a remote model."""

from decimal import Decimal

import httpx
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team, User
from finetune_app.core.encryption import encrypt
from finetune_app.core.errors import PlainError
from finetune_app.providers import guard
from finetune_app.providers.client import Answer, RemoteError, complete_answer, target_of
from finetune_app.providers.models import DEFAULT_CONTEXT, Endpoint

MILLION = 1_000_000
TRIAL_PROMPT = "What is 2 + 3? Answer with the number alone."


def checked_address(text: str) -> httpx.URL:
    """The parsed address. Raises PlainError if it is not allowed; requests check DNS again."""
    try:
        url = guard.read_address(text)
        guard.check(url, private=guard.host_and_port(url) in settings.ENDPOINTS_ALLOWED)
    except guard.NotAllowed as problem:
        raise PlainError(str(problem), status=422) from None
    return url


def add(
    *,
    team: Team,
    user: User,
    consent_to: str,
    name: str,
    url: str,
    model: str,
    key: str = "",
    context: int = DEFAULT_CONTEXT,
    price_in: Decimal | None = None,
    price_out: Decimal | None = None,
) -> Endpoint:
    """`consent_to` is the host that `user` agreed to. Raises PlainError if it is another."""
    checked = checked_address(url)
    if consent_to != guard.host_of(checked):
        raise PlainError(
            _("Agree first to what goes to %(host)s.") % {"host": guard.host_of(checked)},
            status=422,
        )
    try:
        with transaction.atomic():
            return Endpoint.objects.create(
                team=team,
                name=name.strip(),
                url=str(checked),
                model=model.strip(),
                secret=encrypt(key) if key else "",
                context=context,
                price_in=price_in,
                price_out=price_out,
                consented_by=user,
                consented_at=timezone.now(),
            )
    except IntegrityError:
        raise _taken(name) from None


def change(
    *,
    endpoint: Endpoint,
    name: str,
    key: str = "",
    forget_key: bool = False,
    context: int,
    price_in: Decimal | None,
    price_out: Decimal | None,
) -> Endpoint:
    """Address and model cannot change, since test results refer to them.

    An empty `key` keeps the stored one.
    """
    endpoint.name, endpoint.context = name.strip(), context
    endpoint.price_in, endpoint.price_out = price_in, price_out
    if key:
        endpoint.secret = encrypt(key)
    elif forget_key:
        endpoint.secret = ""
    try:
        with transaction.atomic():
            endpoint.save(update_fields=["name", "secret", "context", "price_in", "price_out"])
    except IntegrityError:
        raise _taken(name) from None
    return endpoint


def _taken(name: str) -> PlainError:
    return PlainError(
        _("The team has a remote model called “%(name)s” already.") % {"name": name}, status=422
    )


@transaction.atomic
def delete(*, endpoint: Endpoint) -> None:
    """Deletes the endpoint with its key and its candidates. Raises PlainError while it is live."""
    endpoint.delete()


def try_it(*, endpoint: Endpoint) -> Answer:
    """Ask one short question. Raises PlainError if no usable answer comes back."""
    try:
        answer = async_to_sync(complete_answer)(
            target_of(endpoint), [{"role": "user", "content": TRIAL_PROMPT}], 400
        )
    except RemoteError as problem:
        raise PlainError(problem.message, status=502, title=_("No answer")) from None
    if not answer.text.strip():
        raise PlainError(
            _("The answer was empty. Is “%(model)s” a chat model?") % {"model": endpoint.model},
            status=502,
            title=_("No answer"),
        )
    return answer


def cost_of(endpoint: Endpoint, tokens_in: int | None, tokens_out: int | None) -> Decimal | None:
    """Cost of the tokens in the team's currency; None if a price or count is unknown."""
    price_in, price_out = endpoint.price_in, endpoint.price_out
    if price_in is None or price_out is None or tokens_in is None or tokens_out is None:
        return None
    return (price_in * tokens_in + price_out * tokens_out) / MILLION
