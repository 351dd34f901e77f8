from django.apps import AppConfig


class KnowledgeConfig(AppConfig):
    name = "finetune_app.knowledge"
    label = "knowledge"

    def ready(self) -> None:
        from finetune_app.accounts import storage
        from finetune_app.jobs.handlers import register
        from finetune_app.knowledge import signals  # noqa: F401  (connects its receivers)
        from finetune_app.knowledge.jobs import IndexHandler
        from finetune_app.knowledge.models import Document

        register(IndexHandler())
        storage.register(Document, "knowledge__goal__team")
