from django.urls import path

from finetune_app.request_log.views import feedback, requests, retention

app_name = "request_log"
urlpatterns = [
    path("", requests.page, name="page"),
    path("keep/", retention.change, name="retention"),
    path("queue/", feedback.queue_all, name="queue_all"),
    path("forget/", retention.delete_all_texts, name="delete_all_texts"),
    path("<int:request_id>/", requests.detail, name="request"),
    path("<int:request_id>/again/", requests.replay_request, name="replay"),
    path("<int:request_id>/thumb/", feedback.rate, name="rate"),
    path("of/<slug:reply_id>/thumb/", feedback.rate_reply, name="rate_reply"),
    path("<int:request_id>/queue/", feedback.add_to_queue, name="add_to_queue"),
    path("<int:request_id>/forget/", retention.delete_text, name="delete_text"),
]
