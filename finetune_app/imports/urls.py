from django.urls import path

from finetune_app.imports.views import chunked_upload, confirm, progress, upload

app_name = "imports"
urlpatterns = [
    path("add/", upload.add, name="add"),
    path("upload/", upload.upload, name="upload"),
    path("uploads/", chunked_upload.start, name="uploads"),
    path("uploads/<uuid:upload_id>/", chunked_upload.upload, name="upload_chunks"),
    path("imports/<int:import_id>/", progress.detail, name="detail"),
    path("imports/<int:import_id>/confirm/", confirm.confirm, name="confirm"),
    path("imports/<int:import_id>/again/", confirm.inspect_again, name="inspect_again"),
    path("imports/<int:import_id>/decide/", confirm.decide, name="decide"),
    path("imports/<int:import_id>/cancel/", progress.cancel, name="cancel"),
    path("imports/<int:import_id>/left-out/", progress.rejected_rows, name="rejected_rows"),
]
