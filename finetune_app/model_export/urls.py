from django.urls import path

from finetune_app.model_export import views

app_name = "model_export"
urlpatterns = [
    path("", views.page, name="page"),
    path("<int:export_id>/stop/", views.stop, name="stop"),
    path("<int:export_id>/delete/", views.delete, name="delete"),
    path("<int:export_id>/file/", views.file, name="file"),
]
