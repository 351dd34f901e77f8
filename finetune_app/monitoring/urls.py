from django.urls import path

from finetune_app.monitoring.views import monitor

app_name = "monitoring"
urlpatterns = [
    path("", monitor.page, name="page"),
    path("price/", monitor.price, name="price"),
    path("drift/", monitor.drift_check, name="drift"),
]
