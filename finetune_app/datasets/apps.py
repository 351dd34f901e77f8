from django.apps import AppConfig
from django.db.models.signals import post_migrate


class DatasetsConfig(AppConfig):
    name = "finetune_app.datasets"
    label = "datasets"

    def ready(self) -> None:
        from finetune_app.datasets import signals, text_search  # noqa: F401
        from finetune_app.datasets.change_jobs import ChangeHandler
        from finetune_app.datasets.check_jobs import CheckHandler
        from finetune_app.jobs.handlers import register

        for handler in (CheckHandler(), ChangeHandler()):
            register(handler)

        post_migrate.connect(text_search.create_index, sender=self)
