from django.apps import AppConfig


class ProvidersConfig(AppConfig):
    name = "finetune_app.providers"
    label = "providers"
