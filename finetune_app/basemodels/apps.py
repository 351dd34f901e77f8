from django.apps import AppConfig


class BasemodelsConfig(AppConfig):
    name = "finetune_app.basemodels"
    label = "basemodels"

    def ready(self) -> None:
        from finetune_app.basemodels import signals  # noqa: F401  (connects the receivers)
        from finetune_app.basemodels.jobs import InstallHandler
        from finetune_app.jobs.handlers import register

        register(InstallHandler())
