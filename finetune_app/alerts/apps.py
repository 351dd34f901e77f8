from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "finetune_app.alerts"
    label = "alerts"
