from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "finetune_app.accounts"
    label = "accounts"
