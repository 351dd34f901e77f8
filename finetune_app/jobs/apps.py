from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "finetune_app.jobs"
    label = "jobs"
