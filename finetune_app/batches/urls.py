from django.urls import path

from finetune_app.batches import views

app_name = "batches"
urlpatterns = [
    path("batches", views.batch_list, name="batch_list"),
    path("batches/<slug:batch_id>", views.batch_detail, name="batch_detail"),
    path("batches/<slug:batch_id>/cancel", views.cancel, name="cancel"),
]
