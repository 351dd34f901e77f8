from django.urls import path

from finetune_app.openai_import import views

app_name = "openai_import"
urlpatterns = [
    path("", views.bring, name="bring"),
    path("jobs/<int:account_id>/", views.jobs, name="jobs"),
    path("jobs/<int:account_id>/fetch/", views.fetch_job, name="fetch_job"),
    path("<int:openai_import_id>/", views.check, name="check"),
]
