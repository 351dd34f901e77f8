from django.urls import path

from finetune_app.deployment.views import adapter_download, deployment, log, monitor, versions

app_name = "deployment"
urlpatterns = [
    path("", deployment.page, name="page"),
    path("go-live/", deployment.go_live, name="go_live"),
    path("pause/", deployment.pause, name="pause"),
    path("versions/", versions.page, name="versions"),
    path("versions/<int:number>/share/", versions.set_canary_percent, name="set_canary_percent"),
    path("versions/<int:number>/everybody/", versions.promote, name="promote"),
    path("versions/<int:number>/take-back/", versions.withdraw, name="withdraw"),
    path("versions/<int:number>/roll-back/", versions.roll_back, name="roll_back"),
    path("monitor/", monitor.page, name="monitor"),
    path("monitor/price/", monitor.price, name="price"),
    path("monitor/drift/", monitor.compare, name="drift"),
    path("requests/", log.page, name="log"),
    path("requests/keep/", log.keep, name="keep"),
    path("requests/queue/", log.queue_all, name="queue_all"),
    path("requests/forget/", log.forget_all, name="forget_all"),
    path("requests/<int:request_id>/", log.one, name="request"),
    path("requests/<int:request_id>/again/", log.again, name="again"),
    path("requests/<int:request_id>/thumb/", log.thumb, name="thumb"),
    path("requests/of/<slug:reply_id>/thumb/", log.thumb_of_reply, name="thumb_of_reply"),
    path("requests/<int:request_id>/queue/", log.to_queue, name="to_queue"),
    path("requests/<int:request_id>/forget/", log.forget, name="forget"),
    path("training/<int:number>/adapter.zip", adapter_download.adapter, name="adapter"),
]
