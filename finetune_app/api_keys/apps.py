from django.apps import AppConfig


class ApiKeysConfig(AppConfig):
    name = "finetune_app.api_keys"
    label = "api_keys"
