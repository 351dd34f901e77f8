from django.apps import AppConfig


class CandidatesConfig(AppConfig):
    name = "finetune_app.candidates"
    label = "candidates"

    def ready(self) -> None:
        from finetune_app.candidates import files  # noqa: F401  (connects its receivers)
        from finetune_app.candidates.jobs import SuggestHandler
        from finetune_app.jobs.handlers import register

        register(SuggestHandler())
