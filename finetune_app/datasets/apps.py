from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    name = "finetune_app.datasets"
    label = "datasets"

    def ready(self) -> None:
        from finetune_app.datasets import signals  # noqa: F401
