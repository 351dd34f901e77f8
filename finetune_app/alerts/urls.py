from django.urls import path

from finetune_app.alerts import views

app_name = "alerts"
urlpatterns = [
    path("", views.page, name="page"),
    path("try/", views.try_out, name="try"),
    path("again/", views.recheck, name="again"),
]
