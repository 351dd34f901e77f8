"""The handler of prompt sheets' jobs: the child's spec and its events."""

from typing import Any, cast

from django.conf import settings

from finetune_app.candidates import services as candidates
from finetune_app.core.engine_protocol import NUMBER_FORMATS_FILE
from finetune_app.jobs.handlers import ChildSpec, Event, JobHandler, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job
from finetune_app.prompt_sheets import services
from finetune_app.prompt_sheets.job_messages import SheetAnswerEvent, SheetSpec
from finetune_app.prompt_sheets.models import PromptSheet, SheetAnswer


class PromptSheetHandler(JobHandler):
    kind = JobKind(
        name="prompt_sheet",
        runner="worker.prompt_sheets.run",
        progress=(NUMBER_FORMATS_FILE,),
        heavy=True,
    )

    def child_spec(self, job: Job) -> ChildSpec:
        sheet = PromptSheet.objects.with_details().get(job=job)
        taking_part = sheet.ordered_candidates()
        for candidate in taking_part:
            candidates.require_adapter(candidate)
        folder = settings.DATA_DIR / "prompt_sheets" / str(sheet.pk)
        folder.mkdir(parents=True, exist_ok=True)
        answered = SheetAnswer.objects.filter(prompt__sheet=sheet)
        spec: SheetSpec = {
            "prompts": list(sheet.prompts.values_list("text", flat=True)),
            "candidates": [candidates.candidate_spec(one) for one in taking_part],
            "answered": [
                [candidate, index]
                for candidate, index in answered.values_list("candidate_id", "prompt__index")
            ],
            "max_new_tokens": sheet.max_new_tokens,
        }
        return ChildSpec(folder, cast(dict[str, Any], spec))

    def record(self, job: Job, event: Event) -> None:
        if event["event"] == "answer":
            services.store_answer(job, cast(SheetAnswerEvent, event))

    def finish(self, job: Job, result: Result) -> None:
        """The answers are there already, and nothing is computed from them."""
