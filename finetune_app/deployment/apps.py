from django.apps import AppConfig


class DeploymentConfig(AppConfig):
    name = "finetune_app.deployment"
    label = "deployment"

    def ready(self) -> None:
        from finetune_app.deployment import signals  # noqa: F401
