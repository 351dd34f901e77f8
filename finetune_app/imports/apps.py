from django.apps import AppConfig


class ImportsConfig(AppConfig):
    name = "finetune_app.imports"
    label = "imports"

    def ready(self) -> None:
        from finetune_app.accounts import storage
        from finetune_app.datasets.models import Import
        from finetune_app.imports import signals  # noqa: F401
        from finetune_app.imports.jobs import ImportHandler
        from finetune_app.imports.models import Upload
        from finetune_app.imports.services import unpacked_bytes
        from finetune_app.jobs.handlers import register

        register(ImportHandler())
        storage.register(Import, "dataset__goal__team", unpacked_bytes)
        storage.register(Upload, "dataset__goal__team")
