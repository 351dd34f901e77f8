from django.apps import AppConfig


class CandidatesConfig(AppConfig):
    name = "finetune_app.candidates"
    label = "candidates"
