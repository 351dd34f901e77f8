from django.urls import path

from finetune_app.training import token_view, views

app_name = "training"
urlpatterns = [
    path("", views.page, name="page"),
    path("tokens/<int:number>/", token_view.show, name="tokens"),
    path("start/", views.start, name="start"),
    path("<int:number>/", views.detail, name="detail"),
    path("<int:number>/stop/", views.stop, name="stop"),
    path("<int:number>/continue/", views.resume, name="continue"),
    path("<int:number>/delete/", views.delete, name="delete"),
]
