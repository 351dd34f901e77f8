from django.apps import AppConfig


class VersionsConfig(AppConfig):
    name = "finetune_app.versions"
    label = "versions"

    def ready(self) -> None:
        from finetune_app.versions import signals  # noqa: F401
