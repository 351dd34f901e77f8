from django.apps import AppConfig


class ModelExportConfig(AppConfig):
    name = "finetune_app.model_export"
    label = "model_export"

    def ready(self) -> None:
        from finetune_app.accounts import storage
        from finetune_app.jobs.handlers import register
        from finetune_app.jobs.row_jobs import delete_job_with
        from finetune_app.model_export.jobs import ExportHandler
        from finetune_app.model_export.models import HubPush, ModelExport
        from finetune_app.model_export.push_jobs import HubPushHandler

        register(ExportHandler())
        register(HubPushHandler())
        storage.register(ModelExport, "training__goal__team")
        delete_job_with(ModelExport, lambda export: export.folder)
        delete_job_with(HubPush, lambda push: push.folder)
