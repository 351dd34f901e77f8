"""Keys of one deployment, managed on its page."""

from django.urls import path

from finetune_app.api_keys.views import deployment_keys

app_name = "deployment_keys"
urlpatterns = [
    path("keys/", deployment_keys.new, name="new"),
    path("keys/<int:key_id>/revoke/", deployment_keys.revoke, name="revoke"),
]
