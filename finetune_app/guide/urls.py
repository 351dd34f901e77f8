from django.urls import path

from finetune_app.guide import views

app_name = "guide"
urlpatterns = [
    path("", views.home, name="home"),
    path("sample/", views.sample, name="sample"),
]
