from django.apps import AppConfig


class HyperparameterSearchConfig(AppConfig):
    name = "finetune_app.hyperparameter_search"
    label = "hyperparameter_search"

    def ready(self) -> None:
        from finetune_app.hyperparameter_search.jobs import SearchHandler
        from finetune_app.hyperparameter_search.models import HyperparameterSearch
        from finetune_app.jobs.handlers import register
        from finetune_app.jobs.row_jobs import delete_job_with

        register(SearchHandler())
        delete_job_with(HyperparameterSearch, lambda search: search.folder)
