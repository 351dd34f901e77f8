from django.urls import path

from finetune_app.model_export import views

app_name = "model_export"
urlpatterns = [
    path("", views.page, name="page"),
    path("training/<int:number>/card/", views.card, name="card"),
    path("training/<int:number>/card/README.md", views.card_file, name="card_file"),
    path("<int:export_id>/stop/", views.stop, name="stop"),
    path("<int:export_id>/delete/", views.delete, name="delete"),
    path("<int:export_id>/file/", views.file, name="file"),
]
