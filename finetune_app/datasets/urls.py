from django.urls import path

from finetune_app.datasets.views import (
    bulk,
    changes,
    examples,
    page,
    trash,
)

app_name = "datasets"
urlpatterns = [
    path("", page.page, name="page"),
    path("changes/", changes.changes, name="changes"),
    path("undo/<int:edit_id>/", changes.undo_edit, name="undo"),
    path("bulk/", bulk.bulk, name="bulk"),
    path("edits/<int:edit_id>/", bulk.watch, name="edit"),
    path("trash/empty/", trash.empty, name="empty"),
    path("write/", examples.write, name="write"),
    path("examples/<int:number>/", examples.example, name="example"),
    path("examples/<int:number>/change/", examples.change, name="change"),
    path("examples/<int:number>/history/", examples.history, name="history"),
]
