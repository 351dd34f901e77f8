from django.urls import path

from finetune_app.checks.views import checks, health

app_name = "checks"
urlpatterns = [
    path("health/", health.page, name="health"),
    path("health/right/", health.choose, name="choose"),
    path("check/", checks.start, name="start"),
    path("check/state/", checks.progress, name="progress"),
    path("check/stop/", checks.stop, name="stop"),
    path("fix/<slug:check_name>/", checks.fix, name="fix"),
    path("found/<slug:check_name>/", checks.download_finding, name="download_finding"),
]
