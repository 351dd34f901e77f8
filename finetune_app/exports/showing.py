"""What a page says about taking a tuned model along: each form, its size, how far it is."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_app.core.charts import thin_bar
from finetune_app.exports.models import Export, Form
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import State
from finetune_app.jobs.services import queue_place
from finetune_app.training.models import Training

BYTES = {Form.MERGED_BF16: 2.0, Form.MERGED_FP32: 4.0, Form.GGUF_Q8: 1.07, Form.GGUF_F16: 2.0}
FOR: dict[str, str | Promise] = {
    Form.MERGED_BF16: gettext_lazy(
        "A model of its own, for programs that use transformers or vLLM. Half the size of fp32, "
        "and as good in practice."
    ),
    Form.MERGED_FP32: gettext_lazy(
        "The same with every number as it was trained. Take it to go on working with the weights."
    ),
    Form.GGUF_Q8: gettext_lazy(
        "One file for Ollama, LM Studio and llama.cpp, with a Modelfile. Small and quick on a "
        "laptop; rounded a little."
    ),
    Form.GGUF_F16: gettext_lazy(
        "The same, rounded less and twice the size. Take it to make other GGUF sizes of it."
    ),
}
GGUF_READS = ("llama", "qwen2")


@dataclass(frozen=True)
class Row:
    """One form of one training. `size` in bytes, estimated until it is made."""

    training: Training
    form: Form
    export: Export | None
    cannot: str  # why it cannot be made of this model, or ""

    @property
    def label(self) -> str:
        return str(self.form.label)

    @property
    def purpose(self) -> str:
        return str(FOR[self.form])

    @property
    def size(self) -> float:
        if self.is_ready:
            return self.export.size  # type: ignore[union-attr]
        return self.training.base_model.parameters * BYTES[self.form]

    @property
    def is_ready(self) -> bool:
        return bool(self.export and self.export.is_ready)

    @property
    def is_going(self) -> bool:
        return bool(self.export and self.export.job.is_active)

    @property
    def bar(self) -> SafeString:
        job = self.export.job  # type: ignore[union-attr]
        return thin_bar(job.done, job.total or 1)

    @property
    def going(self) -> str:
        job = self.export.job  # type: ignore[union-attr]
        place = queue_place(job)
        if place:
            return _("Waiting, number %(n)d in the queue") % {"n": place}
        return job.message or _("Preparing")

    @property
    def trouble(self) -> str:
        """Why there is no file, in words."""
        if not self.export or self.is_ready or self.is_going:
            return ""
        if self.export.job.state == State.STOPPED:
            return _("Stopped; nothing was kept. Making it begins again.")
        return self.export.job.message


@dataclass(frozen=True)
class Taking:
    """All that can be taken of one training."""

    training: Training
    rows: list[Row]


def of(goal: Goal) -> list[Taking]:
    """Newest training first."""
    trained = goal.trainings.exclude(adapter_sha256="").select_related(
        "base_model", "version", "job"
    )
    made = {
        (one.training_id, one.form): one
        for one in Export.objects.filter(training__goal=goal).select_related("job")
    }
    return [
        Taking(
            training,
            [
                Row(training, form, made.get((training.pk, form)), cannot(training, form))
                for form in Form
            ],
        )
        for training in trained
    ]


def is_going(takings: list[Taking]) -> bool:
    return any(row.is_going for one in takings for row in one.rows)


def cannot(training: Training, form: Form) -> str:
    """Told beforehand where the model's architecture is known; else the job finds out."""
    known = training.base_model.architecture.lower()
    if not form.startswith("gguf") or not known:
        return ""
    if any(known in (name, f"{name}forcausallm") for name in GGUF_READS):
        return ""
    return _("A GGUF file is made of Llama and Qwen2 models only.")
