from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "finetune_app.accounts"
    label = "accounts"

    def ready(self) -> None:
        from finetune_app.accounts import signals  # noqa: F401  (connects the receivers)
