from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    name = "finetune_app.datasets"
    label = "datasets"

    def ready(self) -> None:
        from finetune_app.datasets.change_jobs import ChangeHandler
        from finetune_app.jobs.handlers import register

        register(ChangeHandler())
