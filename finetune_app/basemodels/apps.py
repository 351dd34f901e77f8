from django.apps import AppConfig


class BasemodelsConfig(AppConfig):
    name = "finetune_app.basemodels"
    label = "basemodels"
