from django.urls import path

from finetune_app.deployment.views import (
    chat_page,
    keys,
    live,
    log,
    monitor,
    playground,
    releases,
    take,
)

app_name = "deployment"
urlpatterns = [
    path("", live.page, name="page"),
    path("go-live/", live.go_live, name="go_live"),
    path("pause/", live.pause, name="pause"),
    path("chat-page/", chat_page.page, name="chat_page"),
    path("chat-page/link/", chat_page.new_link, name="chat_link"),
    path("playground/", playground.page, name="playground"),
    path("playground/code/", playground.code, name="code"),
    path("versions/", releases.versions, name="versions"),
    path("versions/<int:number>/share/", releases.set_canary_percent, name="set_canary_percent"),
    path("versions/<int:number>/everybody/", releases.promote, name="promote"),
    path("versions/<int:number>/take-back/", releases.withdraw, name="withdraw"),
    path("versions/<int:number>/roll-back/", live.roll_back, name="roll_back"),
    path("keys/", keys.new_key, name="new_key"),
    path("keys/<int:key_id>/revoke/", keys.revoke, name="revoke"),
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
    path("training/<int:number>/adapter.zip", take.adapter, name="adapter"),
]
