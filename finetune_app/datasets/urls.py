from django.urls import path

from finetune_app.datasets.views import (
    bulk,
    changes,
    examples,
    ideas,
    label,
    page,
    together,
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
    path("write/ideas/", ideas.ideas, name="ideas"),
    path("examples/<int:number>/", examples.example, name="example"),
    path("examples/<int:number>/change/", examples.change, name="change"),
    path("examples/<int:number>/history/", examples.history, name="history"),
    path("label/", label.start, name="label"),
    path("label/undo/", label.undo_last, name="undo_last"),
    path("label/guidelines/", label.guidelines, name="guidelines"),
    path("label/together/", together.page, name="together"),
    path("label/together/share/", together.share, name="share"),
    path("label/together/assign/", together.assign, name="assign"),
    path("label/answers/", together.labels_, name="labels"),
    path("label/<int:number>/", label.desk, name="desk"),
    path("label/<int:number>/keep/", label.keep, name="keep"),
]
