"""The rows of the catalogue page: models, whether they fit, and running installs. Read-only."""

from dataclasses import dataclass

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team
from finetune_app.basemodels import services
from finetune_app.basemodels.catalogue import CatalogueEntry, catalogue, hub_address
from finetune_app.basemodels.estimates import (
    Estimate,
    MemoryFit,
    estimate_for,
    fit,
)
from finetune_app.basemodels.models import BaseModel, Install
from finetune_app.basemodels.time_plan import MeasuredSpeeds, shape_of
from finetune_app.basemodels.training_work import TrainingWork
from finetune_app.core import charts
from finetune_app.core.machine import Machine
from finetune_app.core.sizes import MEMORY_GB, size
from finetune_app.jobs.models import ACTIVE, State


@dataclass(frozen=True)
class CatalogueRow:
    """One row: a model of the catalogue or of this team, and its state on this machine.

    `lost`: it was installed, but its files are missing. `install`: the team's latest install,
    unless it is done or cancelled. `elsewhere`: another team is installing it.
    `estimate` and `fit` are None until its size is known.
    """

    slug: str
    name: str
    description: str
    entry: CatalogueEntry | None
    installed: BaseModel | None
    lost: BaseModel | None
    install: Install | None
    elsewhere: bool
    estimate: Estimate | None
    fit: MemoryFit | None
    bar: SafeString | None

    @property
    def source(self) -> str:
        """A hub id, or the folder of a model outside the catalogue."""
        if self.entry:
            return self.entry.hub_id
        return self.lost.source if self.lost else ""

    @property
    def hub_page(self) -> str:
        """The hub's page with the licence; empty for a folder."""
        return f"{hub_address()}/{self.source}" if services.HUB_ID.fullmatch(self.source) else ""

    @property
    def download(self) -> str:
        """ "0.3 GB" """
        return size(self.entry.size_gb * 1e9) if self.entry else ""

    @property
    def can_be_installed(self) -> bool:
        is_installing = self.install or self.elsewhere
        return bool(self.entry or self.lost) and not (self.installed or is_installing)


def catalogue_rows(team: Team, machine: Machine, work: TrainingWork) -> list[CatalogueRow]:
    """The catalogue, then other models of this team."""
    models = {model.slug: model for model in services.usable_by(team)}
    installs = _installs_of(team)
    speeds = MeasuredSpeeds.read(machine)
    theirs = Install.objects.exclude(team=team).filter(job__state__in=ACTIVE)
    elsewhere = set(theirs.values_list("slug", flat=True))
    found = [
        _row(entry.slug, entry, models, installs, elsewhere, machine, work, speeds)
        for entry in catalogue()
    ]
    known = {entry.slug for entry in catalogue()}
    others = [slug for slug in dict.fromkeys([*models, *installs]) if slug not in known]
    found += [_row(slug, None, models, installs, set(), machine, work, speeds) for slug in others]
    return found


def memory_scale_gb(machine: Machine) -> float:
    """The end of the memory bars' scale, in GB: the machine's memory."""
    return machine.total_bytes / MEMORY_GB


def _installs_of(team: Team) -> dict[str, Install]:
    """The team's latest install of each model, unless it is done or cancelled."""
    ended = (State.SUCCEEDED, State.CANCELLED)
    mine = Install.objects.filter(team=team).exclude(job__state__in=ended)
    return {one.slug: one for one in mine.select_related("job").order_by("pk")}


def _row(
    slug: str,
    entry: CatalogueEntry | None,
    models: dict[str, BaseModel],
    installs: dict[str, Install],
    elsewhere: set[str],
    machine: Machine,
    work: TrainingWork,
    speeds: MeasuredSpeeds,
) -> CatalogueRow:
    model = models.get(slug)
    installed = model if model and model.is_here else None
    install = None if installed else installs.get(slug)
    estimate = fits = bar = None
    if entry or model:
        estimate = estimate_for(shape_of(entry, model), work, model, speeds)
        fits = fit(machine, estimate.memory_bytes, estimate.seconds)
        bar = _bar(estimate.memory_bytes, machine)
    return CatalogueRow(
        slug=slug,
        name=_name(slug, entry, model, install),
        description=_description(entry, installed if entry else model, install),
        entry=entry,
        installed=installed,
        lost=None if installed else model,
        install=install,
        elsewhere=not installed and not install and slug in elsewhere,
        estimate=estimate,
        fit=fits,
        bar=bar,
    )


def _bar(memory_bytes: float, machine: Machine) -> SafeString:
    need, free = memory_bytes / MEMORY_GB, machine.available_bytes / MEMORY_GB
    label = _("Needs %(need).1f GB of the %(free).1f GB that are free") % {
        "need": need,
        "free": free,
    }
    return charts.memory_bar(need, free, memory_scale_gb(machine), label)


def _name(
    slug: str, entry: CatalogueEntry | None, model: BaseModel | None, install: Install | None
) -> str:
    named = entry or model or install
    return named.name if named else slug


def _description(
    entry: CatalogueEntry | None, model: BaseModel | None, install: Install | None
) -> str:
    """Languages, context length, licence and download size, in one line."""
    if entry:
        parts = [
            entry.languages,
            _("%(n)s tokens of context") % {"n": f"{entry.context:,}"},
            entry.licence,
        ]
        if not model:
            parts.append(_("download %(size)s") % {"size": size(entry.size_gb * 1e9)})
        return ", ".join(parts) + "."
    if model:
        context = _("%(n)s tokens of context") % {"n": f"{model.context:,}"}
        parts = [model.architecture, *([context] if model.context else [])]
        return _("%(what)s. From %(source)s.") % {
            "what": ", ".join(parts),
            "source": model.source,
        }
    return _("From %(source)s.") % {"source": install.source if install else ""}
