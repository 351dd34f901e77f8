from django.urls import path

from finetune_app.deployment import views

app_name = "deployment"
urlpatterns = [
    path("", views.page, name="page"),
    path("training/<int:number>/adapter.zip", views.adapter, name="adapter"),
]
