from django.urls import path

from finetune_app.fine_tuning_api.views import files, graders, jobs, uploads

app_name = "fine_tuning_api"
urlpatterns = [
    path("files", files.file_list, name="file_list"),
    path("files/<slug:file_id>", files.file_detail, name="file_detail"),
    path("files/<slug:file_id>/content", files.file_content, name="file_content"),
    path("uploads", uploads.start, name="start_upload"),
    path("uploads/<slug:upload_id>/parts", uploads.add_part, name="add_part"),
    path("uploads/<slug:upload_id>/complete", uploads.complete, name="complete_upload"),
    path("uploads/<slug:upload_id>/cancel", uploads.cancel, name="cancel_upload"),
    path("fine_tuning/alpha/graders/run", graders.run_grader, name="run_grader"),
    path("fine_tuning/alpha/graders/validate", graders.validate_grader, name="validate_grader"),
    path("fine_tuning/jobs", jobs.job_list, name="job_list"),
    path("fine_tuning/jobs/<slug:job_id>", jobs.job_detail, name="job_detail"),
    path("fine_tuning/jobs/<slug:job_id>/events", jobs.job_events, name="job_events"),
    path(
        "fine_tuning/jobs/<slug:job_id>/checkpoints", jobs.job_checkpoints, name="job_checkpoints"
    ),
    path("fine_tuning/jobs/<slug:job_id>/<slug:action>", jobs.job_action, name="job_action"),
]
