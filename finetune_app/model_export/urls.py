from django.urls import path

from finetune_app.model_export import push_views, views

app_name = "model_export"
urlpatterns = [
    path("", views.page, name="page"),
    path("training/<int:number>/card/", views.card, name="card"),
    path("training/<int:number>/card/README.md", views.card_file, name="card_file"),
    path("<int:export_id>/stop/", views.stop, name="stop"),
    path("<int:export_id>/delete/", views.delete, name="delete"),
    path("<int:export_id>/file/", views.file, name="file"),
    path("push/", push_views.push, name="push"),
    path("push/<int:push_id>/", push_views.pushed, name="pushed"),
    path("push/<int:push_id>/stop/", push_views.stop, name="stop_push"),
    path("push/<int:push_id>/continue/", push_views.resume, name="continue_push"),
    path("push/<int:push_id>/forget/", push_views.forget, name="forget_push"),
]
