from django.apps import AppConfig


class BasemodelsConfig(AppConfig):
    name = "finetune_app.basemodels"
    label = "basemodels"

    def ready(self) -> None:
        from finetune_app.basemodels.jobs import InstallHandler
        from finetune_app.basemodels.models import BaseModel, Install
        from finetune_app.core.row_files import delete_folder_with
        from finetune_app.jobs.handlers import register
        from finetune_app.jobs.row_jobs import delete_job_with

        register(InstallHandler())
        delete_folder_with(BaseModel, lambda model: model.folder)
        delete_folder_with(BaseModel, lambda model: model.kept_folder)
        delete_job_with(Install, lambda install: install.folder)
