from django.urls import path

from finetune_app.evaluation.views import public_vote

app_name = "public_vote"
urlpatterns = [path("<str:vote_secret>/", public_vote.page, name="page")]
