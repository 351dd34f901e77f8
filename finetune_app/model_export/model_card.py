"""The model card of a tuned model: a README.md in the form of the Hugging Face Hub.

Written from what is stored: the goal, the examples' counts, the settings, the verdict. It holds no
example, no prompt of the team, no person and no path of this machine. How to run the model stands
between its two parts, and differs from format to format.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import nh3
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from markdown_it import MarkdownIt

from finetune_app.basemodels.models import BaseModel
from finetune_app.basemodels.services import HUB_ID
from finetune_app.core.thinking import NO, THOUGHT_TOKENS
from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.presenters import score_rows
from finetune_app.model_export import card_sections as sections
from finetune_app.model_export.job_messages import CardText
from finetune_app.model_export.licences import hub_identifier, terms_of
from finetune_app.training.kept_steps import name_of_step
from finetune_app.training.models import Training

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

ADAPTER_FOLDER = "adapter"  # in the zip


@dataclass(frozen=True)
class CardKind:
    """What a card is about, in the hub's terms. `what` has a place for the base model's name.
    if_qlora: what is added where the adapter was learned beside weights in 4-bit.
    if_full: instead of `what`, where every weight was trained."""

    library: str
    relation: str  # to the base model
    tags: tuple[str, ...]
    what: str
    if_qlora: str = ""
    if_full: str = ""


ADAPTER = CardKind(
    "peft",
    "adapter",
    ("lora", "finetune"),
    "An adapter (LoRA) for {base}: what it learned, without the base model itself.",
    "It was trained with the base model in 4 bits (QLoRA: NF4, double quantisation). Load the base "
    "model so, as below: with other weights it answers worse.",
)
ROUNDED = (
    "The linear layers of the base model were rounded to 4-bit numbers first (QLoRA: NF4, double "
    "quantisation), as they were in training."
)
EVERY_WEIGHT = "{base}, of which every weight was trained further."
FULL = CardKind("transformers", "finetune", ("finetune",), EVERY_WEIGHT, if_full=EVERY_WEIGHT)
KINDS = {  # by the container of an export
    "merged": CardKind(
        "transformers",
        "finetune",
        ("finetune",),
        "{base}, with what it learned added to its weights.",
        ROUNDED,
        EVERY_WEIGHT,
    ),
    "gguf": CardKind(
        "gguf",
        "quantized",
        ("finetune", "gguf"),
        "{base}, with what it learned added to its weights, in one file for llama.cpp.",
        ROUNDED,
        "{base}, of which every weight was trained further, in one file for llama.cpp.",
    ),
}
RUN_MODEL = """\
## How to run it

Take the merged model or the GGUF file; each says how.
"""
RUN_ADAPTER = """\
## How to run it

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

{base}
model = PeftModel.from_pretrained(base, "{place}")
tokenizer = AutoTokenizer.from_pretrained("{place}")
```

Ask it the way it was taught, with the chat template that lies beside it:
`tokenizer.apply_chat_template(..., add_generation_prompt=True)`. {thinking}
"""
AT_ONCE = """\
It was taught without thinking:
where the template knows that switch (Qwen3, SmolLM3), add `enable_thinking=False`."""
THINKS = """\
It was taught to think before it answers: add `enable_thinking=True`. Its answer follows `</think>`;
in the test a thought had at most {tokens:,} tokens."""


LOAD_BASE = 'base = AutoModelForCausalLM.from_pretrained("{source}")'
LOAD_BASE_IN_4BIT = """\
import torch
from transformers import BitsAndBytesConfig

in_4bit = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="nf4",
    bnb_4bit_use_double_quant=True,
    bnb_4bit_compute_dtype=torch.bfloat16,
)
base = AutoModelForCausalLM.from_pretrained(
    "{source}", dtype=torch.bfloat16, quantization_config=in_4bit
)"""


def adapter_card(training: Training, step: int | None = None, place: str = ADAPTER_FOLDER) -> str:
    """The card of the adapter alone, of the best step or of a kept one; of the model where every
    weight was trained. place: the adapter's folder beside the card, or its name on a hub.

    Raises PlainError when the step is not kept; so do the functions below.
    """
    if training.is_full:
        card = card_text(training, FULL, step)
        return "\n".join([card["start"], RUN_MODEL, card["facts"]])
    card = card_text(training, ADAPTER, step)
    return "\n".join([card["start"], _run_adapter(training, place), card["facts"]])


def _run_adapter(training: Training, place: str) -> str:
    thinking = AT_ONCE
    if training.thinking != NO:
        thinking = THINKS.format(tokens=THOUGHT_TOKENS[training.thinking])
    source = hub_id(training.base_model) or training.base_model.name
    load_base = LOAD_BASE_IN_4BIT if training.is_qlora else LOAD_BASE
    return RUN_ADAPTER.format(base=load_base.format(source=source), thinking=thinking, place=place)


def as_html(training: Training, step: int | None = None) -> SafeString:
    """The card to read on a page: without its front matter, headings one level lower."""
    body = adapter_card(training, step).split("---\n", 2)[2]
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(body)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{int(token.tag[1]) + 1}"
    html = nh3.clean(parser.renderer.render(tokens, parser.options, {}))
    # A line of code that is too long is scrolled, by keyboard as well.
    return mark_safe(html.replace("<pre>", '<pre tabindex="0">'))


def card_text(training: Training, kind: CardKind, step: int | None = None) -> CardText:
    """The parts of the card, for whoever adds how to run it."""
    evaluation = evaluation_of(training, step)
    if evaluation:
        evaluation.read_answers()
    what = kind.if_full if training.is_full else kind.what
    start = [
        f"---\n{_front_matter(title(training, step), training.base_model, kind, evaluation)}---\n",
        f"# {sections.escaped(title(training, step))}\n",
        what.format(base=sections.escaped(training.base_model.name)),
        *([kind.if_qlora] if training.is_qlora else []),
        *([f"{notice}\n"] if (notice := terms_of(training.base_model).notice) else []),
        sections.purpose(training.goal),
    ]
    after = [
        sections.tested(evaluation),
        sections.learned_from(training.version),
        sections.settings_of(training, step),
        sections.limits(evaluation),
        sections.origin(training, step, hub_id(training.base_model)),
    ]
    return {"start": "\n".join(start), "facts": "\n".join(after)}


def title(training: Training, step: int | None = None) -> str:
    return f"{training.goal.name}, {name_of_step(training, step)}"


def evaluation_of(training: Training, step: int | None = None) -> Evaluation | None:
    """The newest test of this training, or step, whose verdict may be seen; no recheck."""
    tests = training.goal.evaluations.succeeded().without_rechecks()
    tested = tests.filter(ours__training=training, ours__step=step)
    found = tested.exclude(verdict={}).with_details()
    return next((one for one in found if not one.hides_names), None)


def hub_id(base: BaseModel) -> str:
    """Where the base model can be had; "" for a folder of this machine, whose path stays here."""
    return base.source if HUB_ID.fullmatch(base.source) else ""


def _front_matter(name: str, base: BaseModel, kind: CardKind, evaluation: Evaluation | None) -> str:
    """YAML, as the hub reads it. The library quotes what has to be quoted."""
    from huggingface_hub import ModelCardData  # not in every web process

    licence = hub_identifier(base)
    data = ModelCardData(
        base_model=hub_id(base) or None,
        base_model_relation=kind.relation if hub_id(base) else None,
        library_name=kind.library,
        license=licence,
        license_name=base.licence if licence == "other" else None,
        model_name=" ".join(name.split()),
        pipeline_tag="text-generation",
        tags=list(kind.tags),
        eval_results=_results(evaluation) or None,
    )
    return f"{data.to_yaml()}\n"


def _results(evaluation: Evaluation | None) -> "list[EvalResult]":
    """The score of the tuned model as the hub's model-index; none where people decided."""
    from huggingface_hub import EvalResult

    if evaluation is None:
        return []
    graded, total = evaluation.get_measure().graded, evaluation.comparisons.count()
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type="private",
            dataset_name=_("Test examples of version %(n)d") % {"n": evaluation.version.number},
            dataset_split="test",
            metric_type=evaluation.measure if graded else "accuracy",
            metric_value=round(row.value / (100 if graded else total), 4),
        )
        for row in score_rows(evaluation)
        if row.ours
    ]
