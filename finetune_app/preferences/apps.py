from django.apps import AppConfig


class PreferencesConfig(AppConfig):
    name = "finetune_app.preferences"
    label = "preferences"

    def ready(self) -> None:
        from finetune_app.candidates.retrieval import keep_indexes_of
        from finetune_app.jobs.handlers import register
        from finetune_app.jobs.row_jobs import delete_job_with
        from finetune_app.preferences.jobs import PreferenceHandler
        from finetune_app.preferences.models import PreferenceRun

        register(PreferenceHandler())
        keep_indexes_of(PreferenceRun, "candidate")
        delete_job_with(PreferenceRun, lambda run: f"preferences/{run.pk}")
