from django.urls import path

from finetune_app.guide import views
from finetune_app.guide.wizard import views as wizard

app_name = "guide"
advice = "goals/<int:goal_id>/advice/"
urlpatterns = [
    path("", views.home, name="home"),
    path("sample/", views.sample, name="sample"),
    path("goals/<int:goal_id>/onward/", wizard.onward, name="onward"),
    path(advice, wizard.advice, name="advice"),
    path(f"{advice}question/<str:question>/", wizard.question, name="question"),
    path(f"{advice}again/", wizard.again, name="advise_again"),
    path(f"{advice}take/", wizard.take, name="take"),
    path(f"{advice}skip/", wizard.skip, name="skip"),
    path(f"{advice}earlier/<int:advice_id>/", wizard.earlier, name="earlier"),
]
