from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "finetune_app.gateway"
    label = "gateway"
