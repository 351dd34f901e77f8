from django.urls import path

from finetune_app.audit import views

app_name = "audit"
urlpatterns = [
    path("", views.page, name="page"),
    path("export/", views.export_lines, name="export"),
]
