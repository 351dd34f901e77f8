from django.apps import AppConfig


class OperationsConfig(AppConfig):
    """Commands that run an installation: prepare, backup, restore, doctor. It has no models."""

    name = "finetune_app.operations"
