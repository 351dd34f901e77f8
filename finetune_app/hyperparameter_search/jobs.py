"""The handler of a search: what its child gets, and what is stored of its trials."""

from typing import Any, cast

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from finetune_app.core.files import local_folder
from finetune_app.hyperparameter_search import services
from finetune_app.hyperparameter_search.models import HyperparameterSearch
from finetune_app.hyperparameter_search.protocol import SearchResult, SearchSpec, TrialEvent
from finetune_app.jobs.handlers import ChildSpec, Event, JobHandler, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job
from finetune_app.training.answer_length import max_new_tokens
from finetune_app.training.jobs import RECORD_ONLY
from finetune_app.versions.reader import write_without_test_rows

ROWS = "rows.jsonl"


class SearchHandler(JobHandler):
    kind = JobKind(
        name="search",
        runner="worker.hyperparameter_search.run",
        progress=("outcomes.json", "trials"),
        heavy=True,
        interrupted=_("The search stopped unexpectedly; the trials that are done are kept."),
    )

    def child_spec(self, job: Job) -> ChildSpec:
        """The automatic settings and what each trial changes. The child gets a copy of the rows
        without those of the test, so that no setting can be chosen by them."""
        search = _search_of(job)
        folder = settings.DATA_DIR / search.folder
        rows = folder / ROWS
        write_without_test_rows(search.version, rows)
        training = {name: value for name, value in search.spec.items() if name not in RECORD_ONLY}
        spec: SearchSpec = {
            "training": training
            | {
                "base_model": str(local_folder(search.base_model.folder)),
                "version": str(rows),
                "max_new_tokens": max_new_tokens(search.goal.measure, search.version),
            },
            "trials": [trial.settings for trial in search.trials.all()],
        }
        return ChildSpec(folder, cast(dict[str, Any], spec))

    def record(self, job: Job, event: Event) -> None:
        """Store what a trial reached; a resumed child may send it again."""
        if event["event"] != "trial":
            return
        found = cast(TrialEvent, {name: event[name] for name in TrialEvent.__annotations__})
        trial = _search_of(job).trials.get(number=found["trial"])
        others = [one for one in trial.reached if one["rung"] != found["rung"]]
        trial.reached = [*others, found]
        trial.save(update_fields=["reached"])

    def finish(self, job: Job, result: Result) -> None:
        """Record the winner, and queue a whole training with its settings."""
        found, search = cast(SearchResult, result), _search_of(job)
        _remove_rows(job)
        if found.get("stopped") or search.winner is not None:
            return
        search.winner = found["winner"]
        search.save(update_fields=["winner"])
        services.train_automatically(search)

    def interrupt(self, job: Job) -> None:
        _remove_rows(job)

    def fail(self, job: Job) -> None:
        _remove_rows(job)


def _remove_rows(job: Job) -> None:
    """The copy is made again when the search goes on; nothing else would delete it."""
    for search in HyperparameterSearch.objects.filter(job=job):
        (settings.DATA_DIR / search.folder / ROWS).unlink(missing_ok=True)


def _search_of(job: Job) -> HyperparameterSearch:
    return HyperparameterSearch.objects.select_related("version", "base_model", "goal").get(job=job)
