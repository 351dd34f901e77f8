"""Takes a goal through the six steps, for tests that start in the middle.

Each function does one step with the app's services; events of a worker (steps of a training,
answers of an evaluation) are passed to the job handlers.
"""

from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from finetune_app.accounts.models import User
from finetune_app.basemodels.models import BaseModel, BaseModelChoice
from finetune_app.datasets import services as datasets
from finetune_app.evaluation import candidate_selection, held_out
from finetune_app.evaluation import services as evaluations
from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.prompt_baseline import BaselinePrompt
from finetune_app.goals import services as goals
from finetune_app.goals.models import Goal
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job, State
from finetune_app.training import services as trainings
from finetune_app.training.models import Training
from finetune_app.versions import services as versions
from finetune_app.versions.models import Version
from tests.example_rows import conversation, pair

Say = Callable[[held_out.HeldOutPrompt, str], tuple[str, bool | None]]


def freeze(goal: Goal, by: User, count: int = 60) -> Version:
    """Step 2: `count` good examples, frozen."""
    dataset = datasets.dataset_of(goal)
    missing = count - dataset.examples.count()
    rows = [{"messages": conversation(*pair(n)), "split": ""} for n in range(count)]
    if missing > 0:
        datasets.add_rows(dataset=dataset, by=by, rows=rows[-missing:], source="emails.csv")
    version, _new = versions.freeze(dataset=dataset, by=by)
    return version


def install(slug: str = "tiny", **fields: object) -> BaseModel:
    """An installed model, as far as the web can tell."""
    model = BaseModel.objects.create(
        slug=slug,
        name=slug.title(),
        source=f"org/{slug}",
        parameters=1000,
        context=512,
        files={"model.safetensors": "a" * 64},
        **fields,
    )
    write(f"{model.folder}/config.json", "{}")
    return model


def ready(goal: Goal, by: User, model: BaseModel | None = None) -> Goal:
    """Steps 1 to 3: a measure, a frozen version, a base model."""
    if not goal.measure:
        goals.choose_measure(goal=goal, kind="exact", settings={})
    if not Version.objects.filter(dataset__goal=goal).exists():
        freeze(goal, by)
    BaseModelChoice.objects.create(goal=goal, base_model=model or install(), chosen_by=by)
    return goal


def trained(
    goal: Goal, by: User, weights: str = "weights", starts_from: Training | None = None
) -> Training:
    """Step 4 completed: an adapter is on disk."""
    training = trainings.start(goal=goal, user=by, starts_from=starts_from)
    write(f"{training.adapter_folder}/adapter_model.safetensors", weights)
    write(f"{training.adapter_folder}/adapter_config.json", "{}")
    end(training.job, adapter="adapter", tokens=9000, seconds=30, number_format="bf16")
    training.refresh_from_db()
    return training


def qlora_trained(goal: Goal, by: User) -> Training:
    """The same beside weights in 4-bit, whether or not bitsandbytes is installed."""
    training = trained(goal, by)
    training.spec["tuning"] = "qlora"
    training.save(update_fields=["spec"])
    return training


def evaluated(
    training: Training,
    by: User,
    say: Say | None = None,
    *,
    instructions: str = "",
    shots: list[dict[str, str]] | None = None,
    in_8_bits: bool = False,
) -> Evaluation:
    """Step 5 completed. `say(prompt, "base" | "tuned" | "prompt")` returns (text, passed)."""
    evaluation = begun(training, by, instructions=instructions, shots=shots, in_8_bits=in_8_bits)
    answer_all(evaluation, say or tuned_is_right)
    finish(evaluation)
    evaluation.refresh_from_db()
    return evaluation


def begun(
    training: Training,
    by: User,
    *,
    instructions: str = "",
    shots: list[dict[str, str]] | None = None,
    in_8_bits: bool = False,
) -> Evaluation:
    """Step 5 started: base and tuned model, and the prompt baseline if there are instructions."""
    prompt = BaselinePrompt(instructions, shots or [])
    keys = ["prompt", "tuned"]
    return started(training.goal, by, keys, training=training, prompt=prompt, in_8_bits=in_8_bits)


def started(
    goal: Goal,
    by: User,
    keys: list[str],
    *,
    training: Training | None = None,
    prompt: BaselinePrompt = BaselinePrompt("", []),
    in_8_bits: bool = False,
) -> Evaluation:
    """An evaluation of the base model and the named candidates, queued."""
    basis = candidate_selection.EvaluationInputs.for_goal(goal, training)
    taking_part = candidate_selection.create_candidates(
        basis, prompt=prompt, keys=keys, in_8_bits=in_8_bits
    )
    return evaluations.start(
        goal=basis.goal, version=basis.version, candidates=taking_part, user=by
    )


def finish(evaluation: Evaluation) -> None:
    formats = {str(one.pk): one.number_format or "fp32" for one in evaluation.candidates()}
    end(evaluation.job, number_formats=formats)


def tuned_is_right(prompt: held_out.HeldOutPrompt, kind: str) -> tuple[str, bool | None]:
    return (prompt.wanted, True) if kind == "tuned" else ("I am not sure.", False)


def answer_all(evaluation: Evaluation, say: Say) -> None:
    for prompt in evaluation.test_prompts():
        for candidate in evaluation.candidates():
            text, passed = say(prompt, candidate.kind)
            handler_for(evaluation.job).record(
                evaluation.job,
                {
                    "event": "answer",
                    "candidate": candidate.pk,
                    "row": prompt.row,
                    "index": prompt.index,
                    "text": text,
                    "passed": passed,
                    "why": "",
                    "score": None if passed is None else float(passed),
                },
            )


def end(job: Job, **result: object) -> None:
    """The worker's child ended with `result`."""
    state = State.STOPPED if result.get("stopped") else State.SUCCEEDED
    handler_for(job).before_finish(job, result)
    with transaction.atomic():  # as the supervisor does: a page never sees one without the other
        set_state(job, state, result=result)
        ended = Job.objects.get(pk=job.pk)
        handler_for(ended).finish(ended, result)


def set_state(job: Job, state: State, **fields: object) -> None:
    Job.objects.filter(pk=job.pk).update(state=state, ended_at=timezone.now(), **fields)


def write(name: str, text: str) -> Path:
    path = Path(settings.DATA_DIR) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
