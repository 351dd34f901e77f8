"""What the export page shows: each format, its size, and how far it is."""

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_app.candidates.models import CandidateKind
from finetune_app.core.charts import thin_bar
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import State
from finetune_app.jobs.presenters import waiting_headline
from finetune_app.model_export import services
from finetune_app.model_export.models import ExportFormat, ModelExport
from finetune_app.training.kept_steps import name_of_step
from finetune_app.training.models import Training

MAX_SHOWN = 5  # trainings with all their formats, without those of which a file was made
PURPOSES: dict[str, str | Promise] = {
    ExportFormat.MERGED_BF16: gettext_lazy(
        "A complete model for programs that use transformers or vLLM. Half the size of fp32, and "
        "as good in use."
    ),
    ExportFormat.MERGED_FP32: gettext_lazy(
        "The same with every number as it was trained. Take it to go on working with the weights."
    ),
    ExportFormat.GGUF_Q8: gettext_lazy(
        "One file for Ollama, LM Studio and llama.cpp, with a Modelfile. Small and quick on a "
        "laptop; rounded a little."
    ),
    ExportFormat.GGUF_F16: gettext_lazy(
        "The same, rounded less and twice the size. Take it to make other GGUF sizes from it."
    ),
}
GGUF_ARCHITECTURES = {  # of the worker's ARCHITECTURES, by the class that transformers loads
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "Gemma3ForCausalLM",
}


@dataclass(frozen=True)
class FormatRow:
    """One format of one training."""

    training: Training
    step: int | None  # a kept step; None is the best one
    format: ExportFormat
    export: ModelExport | None
    unsupported: str  # why this model cannot be exported to it; "" if it can

    @property
    def label(self) -> str:
        return str(self.format.label)

    @property
    def purpose(self) -> str:
        return str(PURPOSES[self.format])

    @property
    def size(self) -> int:
        """Bytes; an estimate until the file is made."""
        if self.export and self.export.is_ready:
            return self.export.size
        return services.expected_bytes(self.training, self.format)

    @property
    def is_ready(self) -> bool:
        return bool(self.export and self.export.is_ready)

    @property
    def is_running(self) -> bool:
        return bool(self.export and self.export.job.is_active)

    @property
    def progress_bar(self) -> SafeString | str:
        if not self.export:
            return ""
        return thin_bar(self.export.job.done, self.export.job.total or 1)

    @property
    def progress_text(self) -> str:
        if not self.export:
            return ""
        if self.export.job.state == State.QUEUED:
            return waiting_headline(self.export.job)
        return self.export.job.message or _("Preparing")

    @property
    def problem(self) -> str:
        """Why there is no file; "" while it is running or ready."""
        if not self.export or self.is_ready or self.is_running:
            return ""
        if self.export.job.state == State.STOPPED:
            return _("Stopped; nothing was kept. Making it begins again.")
        return self.export.job.message


@dataclass(frozen=True)
class TrainingExports:
    """Every format of one training, or of a kept step that somebody has chosen to test."""

    training: Training
    step: int | None
    rows: list[FormatRow]

    @property
    def name(self) -> str:
        return capfirst(name_of_step(self.training, self.step))

    @property
    def any_made(self) -> bool:
        """Whether somebody has had a file made, or begun to."""
        return any(row.export for row in self.rows)


def exports_of(goal: Goal, number: int | None = None) -> list[TrainingExports]:
    """Newest training first, but before it the one with this number; each followed by its chosen
    steps."""
    found = goal.trainings.with_adapter().select_related("base_model", "version", "job")
    trained = sorted(found, key=lambda training: training.number != number)
    steps = goal.candidates.filter(kind=CandidateKind.TUNED).exclude(step=None)
    chosen: dict[int, set[int]] = {}
    for candidate in steps:
        chosen.setdefault(candidate.training_id or 0, set()).add(candidate.step or 0)
    existing = {
        (one.training_id, one.step, one.format): one
        for one in ModelExport.objects.filter(training__goal=goal).select_related("job")
    }
    return [
        TrainingExports(
            training,
            step,
            [
                FormatRow(
                    training,
                    step,
                    format,
                    existing.get((training.pk, step, format)),
                    why_unsupported(training, format),
                )
                for format in ExportFormat
            ],
        )
        for training in trained
        for step in [None, *sorted(chosen.get(training.pk, ()))]
    ]


def formats_context(goal: Goal, number: int | None = None) -> dict[str, Any]:
    """What templates/model_export/_formats.html shows: every format of the training with this
    number, of the newest ones, and of those of which a file was made. `others` are links: with the
    formats of each, 50 trainings would be a page of 400 kB."""
    exports = exports_of(goal, number)
    trainings = list(dict.fromkeys(one.training for one in exports))
    newest = trainings[:MAX_SHOWN]
    shown = [one for one in exports if one.any_made or one.training in newest]
    with_formats = {one.training for one in shown}
    return {"exports": shown, "others": [one for one in trainings if one not in with_formats]}


def any_running(exports: list[TrainingExports]) -> bool:
    return any(row.is_running for one in exports for row in one.rows)


def why_unsupported(training: Training, format: ExportFormat) -> str:
    """Why this model has no GGUF form, in words; "" if it has one or its architecture is not
    known, in which case the job finds out."""
    architecture = training.base_model.architecture
    if not format.startswith("gguf") or not architecture or architecture in GGUF_ARCHITECTURES:
        return ""
    return _("GGUF files can be made only from Llama, Mistral, Qwen2, Qwen3 and Gemma 3 models.")
