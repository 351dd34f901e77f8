from django.apps import AppConfig
from django.db.models.signals import post_migrate


class DatasetsConfig(AppConfig):
    name = "finetune_app.datasets"
    label = "datasets"

    def ready(self) -> None:
        from finetune_app.datasets import text_search
        from finetune_app.datasets.change_jobs import ChangeHandler
        from finetune_app.jobs.handlers import register

        register(ChangeHandler())

        post_migrate.connect(text_search.create_index, sender=self)
