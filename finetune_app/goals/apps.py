from django.apps import AppConfig


class GoalsConfig(AppConfig):
    name = "finetune_app.goals"
    label = "goals"
