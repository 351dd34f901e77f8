from django.apps import AppConfig


class DeploymentConfig(AppConfig):
    name = "finetune_app.deployment"
    label = "deployment"

    def ready(self) -> None:
        from finetune_app.deployment import signals  # noqa: F401  (connects the receivers)
        from finetune_app.deployment.models import indexes_of_releases
        from finetune_app.knowledge.services import register_index_user

        register_index_user(indexes_of_releases)
