from django.urls import path

from finetune_app.datasets.views import (
    bulk,
    confirming,
    downloads,
    examples,
    imports,
    page,
    trash,
    versions,
)

app_name = "datasets"
urlpatterns = [
    path("", page.page, name="page"),
    path("check/", page.check, name="check"),
    path("fix/<slug:check_name>/", page.fix, name="fix"),
    path("undo/<int:edit_id>/", page.undo_edit, name="undo"),
    path("bulk/", bulk.bulk, name="bulk"),
    path("edits/<int:edit_id>/", bulk.watch, name="edit"),
    path("trash/empty/", trash.empty, name="empty"),
    path("add/", imports.add, name="add"),
    path("upload/", imports.upload, name="upload"),
    path("imports/<int:import_id>/", imports.show, name="import"),
    path("imports/<int:import_id>/confirm/", confirming.confirm, name="confirm"),
    path("imports/<int:import_id>/again/", confirming.again, name="again"),
    path("imports/<int:import_id>/decide/", confirming.decide, name="decide"),
    path("imports/<int:import_id>/cancel/", imports.cancel, name="cancel"),
    path("imports/<int:import_id>/left-out/", imports.rejected, name="rejected"),
    path("write/", examples.write, name="write"),
    path("examples/<int:number>/", examples.example, name="example"),
    path("examples/<int:number>/change/", examples.change, name="change"),
    path("examples/<int:number>/history/", examples.history, name="history"),
    path("freeze/", versions.make, name="freeze"),
    path("versions/<int:number>/", versions.show, name="version"),
    path("versions/<int:number>/download/<slug:form>/", downloads.version, name="download"),
]
