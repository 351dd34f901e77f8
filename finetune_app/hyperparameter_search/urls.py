from django.urls import path

from finetune_app.hyperparameter_search import views

app_name = "hyperparameter_search"
urlpatterns = [
    path("", views.page, name="page"),
    path("start/", views.start, name="start"),
    path("<int:number>/", views.detail, name="detail"),
    path("<int:number>/stop/", views.stop, name="stop"),
    path("<int:number>/continue/", views.resume, name="continue"),
    path("<int:number>/train/", views.train, name="train"),
]
