from django.apps import AppConfig


class ImportsConfig(AppConfig):
    name = "finetune_app.imports"
    label = "imports"

    def ready(self) -> None:
        from finetune_app.imports import signals  # noqa: F401
