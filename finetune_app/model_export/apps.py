from django.apps import AppConfig


class ModelExportConfig(AppConfig):
    name = "finetune_app.model_export"
    label = "model_export"

    def ready(self) -> None:
        from finetune_app.jobs.handlers import register
        from finetune_app.model_export import signals  # noqa: F401  (connects the receivers)
        from finetune_app.model_export.jobs import ExportHandler

        register(ExportHandler())
