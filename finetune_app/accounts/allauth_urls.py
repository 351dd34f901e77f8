"""Addresses whose names allauth looks up itself, so they have no namespace."""

from django.urls import path

from finetune_app.accounts.views import auth, reauthentication

urlpatterns = [
    path("sign-in/", auth.sign_in, name="account_login"),
    path("account/confirm/", reauthentication.confirm_with_password, name="account_reauthenticate"),
]
