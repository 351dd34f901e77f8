from django.apps import AppConfig
from django.db.models.signals import post_migrate


class DatasetsConfig(AppConfig):
    name = "finetune_app.datasets"
    label = "datasets"

    def ready(self) -> None:
        from finetune_app.datasets import signals, text_search  # noqa: F401

        post_migrate.connect(text_search.create_index, sender=self)
