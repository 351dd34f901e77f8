"""Choose a base model, install one, register what lies on the disk."""

import json
import re
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.text import slugify
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team, User
from finetune_app.basemodels.catalogue import STARTER, entry_of
from finetune_app.basemodels.models import BaseModel, Choice, HubToken, Install
from finetune_app.core.encryption import decrypt, encrypt
from finetune_app.core.errors import PlainError
from finetune_app.core.files import sha256_of
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import ACTIVE, Kind

HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,95}$")


def usable_by(team: Team) -> QuerySet[BaseModel]:
    """Everybody's models and this team's own."""
    return BaseModel.objects.filter(Q(team=None) | Q(team=team))


def choose(*, goal: Goal, slug: str, user: User | None) -> Choice:
    """Raise PlainError when the model is not installed here."""
    base_model = usable_by(goal.team).filter(slug=slug).first()
    if base_model is None:
        raise PlainError(_("That model is not installed here yet. Install it first."))
    choice, _created = Choice.objects.update_or_create(
        goal=goal, defaults={"base_model": base_model, "chosen_by": user}
    )
    return choice


@transaction.atomic
def install(
    *, team: Team, user: User, source: str, licence_accepted: bool, from_folder: bool = False
) -> Install:
    """Queue the download of a hub id, or the copy of a folder on this machine.

    Raise PlainError for a malformed id, a model that is here already, or a licence not accepted.
    A second click returns the install already going.
    """
    source = source.strip()
    if not from_folder and not HUB_ID.match(source):
        raise PlainError(_("A hub id looks like “organisation/model”."))
    if not licence_accepted:
        raise PlainError(_("Read the model's licence and accept it first."))
    slug = slug_for(source, from_folder=from_folder)
    going = Install.objects.filter(slug=slug, job__state__in=ACTIVE).first()
    if going:
        return going
    if BaseModel.objects.filter(slug=slug).exists():
        raise PlainError(_("That model is installed already."))
    entry = entry_of(slug)
    name = entry.name if entry else source.rstrip("/").rsplit("/", 1)[-1]
    job = jobs.create(
        team=team, kind=Kind.INSTALL, title=_("Install %(name)s") % {"name": name}, spec={}
    )
    return Install.objects.create(
        job=job, team=team, slug=slug, name=name, source=source, from_folder=from_folder,
        licence=entry.licence if entry else "", licence_accepted_by=user,
    )


def slug_for(source: str, *, from_folder: bool) -> str:
    from finetune_app.basemodels.catalogue import catalogue

    known = next((entry.slug for entry in catalogue() if entry.hub_id == source), None)
    if known and not from_folder:
        return known
    name = source.rstrip("/").rsplit("/", 1)[-1] if from_folder else source.replace("/", "-")
    return slugify(name)[:120] or "model"


def register(
    *, slug: str, name: str, source: str, team: Team | None = None, licence: str = "",
    revision: str = "",
) -> BaseModel:
    """Write down a model whose folder is complete on the disk: its shape and its hashes."""
    folder = Path(settings.DATA_DIR) / "models" / slug
    config = json.loads((folder / "config.json").read_text())
    entry = entry_of(slug)
    files = {
        path.name: sha256_of(path)
        for path in sorted(folder.iterdir())
        if path.suffix in {".safetensors", ".json", ".jinja", ".model", ".txt"}
    }
    model, _created = BaseModel.objects.update_or_create(
        slug=slug,
        defaults={
            "name": entry.name if entry else name,
            "source": source,
            "revision": revision,
            "licence": entry.licence if entry else licence,
            "architecture": (config.get("architectures") or [""])[0],
            "parameters": entry.parameters if entry else count_parameters(folder),
            "context": config.get("max_position_embeddings") or 2048,
            "size": sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
            "files": files,
            "team": team,
        },
    )
    return model


def register_starter() -> BaseModel:
    entry = entry_of(STARTER)
    assert entry is not None
    return register(slug=STARTER, name=entry.name, source=entry.hub_id)


def count_parameters(folder: Path) -> int:
    """From the safetensors headers alone: 8 bytes of length, then JSON with every shape."""
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
    """Kept encrypted; shown never again. An empty one is forgotten."""
    if not token.strip():
        HubToken.objects.filter(team=team).delete()
        return
    HubToken.objects.update_or_create(team=team, defaults={"secret": encrypt(token.strip())})


def hub_token(team: Team) -> str | None:
    """For the downloading child only; never for a page or a log."""
    found = HubToken.objects.filter(team=team).first()
    return decrypt(found.secret) if found else None
