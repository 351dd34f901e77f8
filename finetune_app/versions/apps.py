from django.apps import AppConfig


class VersionsConfig(AppConfig):
    name = "finetune_app.versions"
    label = "versions"

    def ready(self) -> None:
        from finetune_app.accounts import storage
        from finetune_app.versions import signals  # noqa: F401
        from finetune_app.versions.models import Version

        storage.register(Version, "dataset__goal__team")
