from django.apps import AppConfig


class CandidatesConfig(AppConfig):
    name = "finetune_app.candidates"
    label = "candidates"

    def ready(self) -> None:
        from finetune_app.candidates.jobs import SuggestHandler
        from finetune_app.candidates.models import SuggestionRun
        from finetune_app.candidates.retrieval import keep_indexes_of
        from finetune_app.jobs.handlers import register
        from finetune_app.jobs.row_jobs import delete_job_with

        register(SuggestHandler())
        keep_indexes_of(SuggestionRun, "candidate")
        delete_job_with(SuggestionRun, lambda run: f"suggestions/{run.pk}")
