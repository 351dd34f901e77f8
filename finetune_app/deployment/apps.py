from django.apps import AppConfig


class DeploymentConfig(AppConfig):
    name = "finetune_app.deployment"
    label = "deployment"
