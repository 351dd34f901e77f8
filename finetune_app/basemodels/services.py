"""Choose, install and register base models."""

import hashlib
import json
import re
from pathlib import Path

from cryptography.fernet import InvalidToken
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.text import slugify
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team, User
from finetune_app.basemodels import hub
from finetune_app.basemodels.catalogue import STARTER, entry_of, entry_with_hub_id
from finetune_app.basemodels.job_messages import InstalledModel
from finetune_app.basemodels.models import BaseModel, BaseModelChoice, HubToken, Install, Thinking
from finetune_app.basemodels.shapes import dimensions_of
from finetune_app.core.encryption import decrypt, encrypt
from finetune_app.core.errors import PlainError
from finetune_app.core.files import sha256_of
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import ACTIVE, CAN_CONTINUE

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
HASHED_SUFFIXES = {".safetensors", ".json", ".jinja", ".model", ".txt"}


def usable_by(team: Team) -> QuerySet[BaseModel]:
    """Models for everybody and this team's own. Files of some may be missing (`is_here`)."""
    return BaseModel.objects.filter(Q(team=None) | Q(team=team))


def is_installed(slug: str) -> bool:
    model = BaseModel.objects.filter(slug=slug).first()
    return model is not None and model.is_here


def choose(
    *, goal: Goal, slug: str, user: User | None, thinking: str = Thinking.NO
) -> BaseModelChoice:
    """thinking: ignored for a model that cannot think. Raises PlainError if the model is not
    installed."""
    base_model = usable_by(goal.team).filter(slug=slug).first()
    if base_model is None or not base_model.is_here:
        raise PlainError(_("That model is not installed here yet. Install it first."))
    if not base_model.can_think or thinking not in Thinking.values:
        thinking = Thinking.NO
    choice, _created = BaseModelChoice.objects.update_or_create(
        goal=goal, defaults={"base_model": base_model, "thinking": thinking, "chosen_by": user}
    )
    return choice


@transaction.atomic
def install(
    *,
    team: Team,
    user: User,
    source: str,
    licence_accepted: bool,
    from_folder: bool = False,
    revision: str = "",
) -> Install:
    """Queue the download of a hub id, or the copy of a folder on this machine. revision: the commit
    that was agreed to; "" is the latest.

    Returns a running install of the same model, and continues a stopped one. Raises PlainError
    for a malformed id, an installed model, or a licence that was not accepted.
    """
    source = source.strip()
    if not from_folder and (not HUB_ID.fullmatch(source) or ".." in source):
        raise PlainError(_("A hub id looks like “organisation/model”."))
    if not licence_accepted:
        raise PlainError(_("Read the model's licence and accept it first."))
    entry = None if from_folder else entry_with_hub_id(source)
    source = entry.hub_id if entry else source
    slug = entry.slug if entry else slug_for(team, source)
    Team.objects.select_for_update().get(pk=team.pk)  # so that two clicks are one download
    if is_installed(slug):
        raise PlainError(_("That model is installed already."))
    if active := Install.objects.filter(slug=slug, job__state__in=ACTIVE).first():
        return active
    stopped = Install.objects.filter(slug=slug, team=team, job__state__in=CAN_CONTINUE).first()
    if stopped:
        Install.objects.filter(pk=stopped.pk).update(licence_accepted_by=user, revision=revision)
        jobs.ask_continue(stopped.job)
        return stopped
    name = entry.name if entry else source.rstrip("/").rsplit("/", 1)[-1][:120]
    job = jobs.create(
        team=team, kind="install", title=_("Install %(name)s") % {"name": name}, spec={}
    )
    return Install.objects.create(
        job=job,
        team=team,
        slug=slug,
        name=name,
        source=source,
        from_folder=from_folder,
        revision=revision,
        licence=entry.licence if entry else "",
        licence_accepted_by=user,
    )


def resume(install: Install) -> None:
    """Continue a stopped or failed install with the files it has.

    Raises PlainError if another team has installed the model or is installing it.
    """
    if is_installed(install.slug):
        raise PlainError(_("That model is installed already."))
    others = Install.objects.filter(slug=install.slug, job__state__in=ACTIVE)
    if others.exclude(pk=install.pk).exists():
        raise PlainError(_("This model is being installed already."))
    jobs.ask_continue(install.job)


def slug_for(team: Team, source: str) -> str:
    """Folder name of a model outside the catalogue: readable, unique to the team."""
    name = slugify(source.rstrip("/").rsplit("/", 1)[-1])[:80] or "model"
    return f"{name}-{hashlib.sha256(f'{team.pk}:{source}'.encode()).hexdigest()[:8]}"


def register(
    *,
    slug: str,
    name: str,
    source: str,
    team: Team | None = None,
    licence: str = "",
    revision: str = "",
) -> BaseModel:
    """Register a model whose folder is complete, with its shape and hashes."""
    folder = Path(settings.DATA_DIR) / "models" / slug
    config = json.loads((folder / "config.json").read_text())
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in HASHED_SUFFIXES]
    found: InstalledModel = {
        "source": source,
        "revision": revision,
        "architecture": (config.get("architectures") or [""])[0],
        "parameters": count_parameters(folder),
        "context": config.get("max_position_embeddings") or 0,
        "size": sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
        "files": {path.name: sha256_of(path) for path in paths},
        "shape": dimensions_of(config),
        "can_think": False,  # the starter does not
    }
    return _save_model(slug, name, team, licence, found)


def register_install(*, install: Install, found: InstalledModel) -> BaseModel:
    """Register the result of an install (see worker/installs/run.py).

    A model of the catalogue is for everybody, any other for the team that installed it.
    """
    team = None if entry_of(install.slug) else install.team
    return _save_model(install.slug, install.name, team, install.licence, found)


def register_starter() -> BaseModel:
    entry = entry_of(STARTER)
    assert entry is not None
    return register(slug=STARTER, name=entry.name, source=entry.hub_id)


def _save_model(
    slug: str, name: str, team: Team | None, licence: str, found: InstalledModel
) -> BaseModel:
    """For a model of the catalogue, its entry has the name, licence and parameter count."""
    fields = {
        name: value for name, value in found.items() if name in InstalledModel.__annotations__
    }
    told = found.get("licence") or licence
    values = fields | {"name": name, "licence": told, "team": team}
    if entry := entry_of(slug):
        values |= {
            "name": entry.name,
            "licence": entry.licence,
            "parameters": entry.parameters,
            "gated": entry.gated,
        }
    model, _created = BaseModel.objects.update_or_create(slug=slug, defaults=values)
    return model


def count_parameters(folder: Path) -> int:
    """Count from the safetensors headers: 8 bytes of length, then JSON with all shapes."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for name, tensor in header.items():
            if name != "__metadata__":
                size = 1
                for side in tensor["shape"]:
                    size *= side
                total += size
    return total


def save_hub_token(*, team: Team, token: str) -> None:
    """Store the token encrypted, once the hub has said whose it is; an empty one deletes it.

    Raises PlainError when the hub does not accept it, or cannot be asked.
    """
    if not token.strip():
        HubToken.objects.filter(team=team).delete()
        return
    found = hub.whoami(token.strip())
    HubToken.objects.update_or_create(
        team=team,
        defaults={
            "secret": encrypt(token.strip()),
            "account": found.account,
            "organisations": found.organisations,
            "role": found.role,
        },
    )


def hub_token(team: Team) -> str | None:
    """The decrypted token, for requests to the hub only; never for a page or a log.

    Raises PlainError where it cannot be decrypted any more.
    """
    found = HubToken.objects.filter(team=team).first()
    try:
        return decrypt(found.secret) if found else None
    except InvalidToken:
        raise PlainError(
            _("The token of the hub cannot be read any more. Ask an owner to enter it again.")
        ) from None
