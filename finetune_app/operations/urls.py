from django.urls import path

from finetune_app.audit import views as audit
from finetune_app.operations import views

app_name = "operations"
urlpatterns = [
    path("", views.overview_page, name="overview"),
    path("jobs/<int:job_id>/stop/", views.stop_job, name="stop_job"),
    path("teams/<int:team_id>/priority/", views.set_priority, name="set_priority"),
    path("audit/", audit.all_lines, name="audit"),
    path("audit/export/", audit.export_all_lines, name="audit_export"),
]
