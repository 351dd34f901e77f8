from django.urls import path

from finetune_app.alerts import views

app_name = "alerts"
urlpatterns = [
    path("", views.page, name="page"),
    path("try/", views.send_test, name="send_test"),
    path("again/", views.recheck, name="recheck"),
]
