from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "finetune_app.training"
    label = "training"
