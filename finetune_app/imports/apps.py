from django.apps import AppConfig


class ImportsConfig(AppConfig):
    name = "finetune_app.imports"
    label = "imports"

    def ready(self) -> None:
        from finetune_app.imports import signals  # noqa: F401
        from finetune_app.imports.jobs import ImportHandler
        from finetune_app.jobs.handlers import register

        register(ImportHandler())
