"""When it is asked again who is there, nothing was done yet; what goes on after it was."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.test import RequestFactory
from django.urls import reverse

from finetune_app.accounts.models import User
from finetune_app.audit.middleware import AuditMiddleware
from finetune_app.core.audit import AuditAction
from tests.audit.lines import new_lines
from tests.conftest import person, signed_in

DELETE = reverse("accounts:delete_account")
CONFIRM = reverse("account_reauthenticate")


def test_a_redirect_to_the_confirmation_is_not_a_deletion(team, settings):
    settings.OIDC = {"name": "Kettle"}  # whose accounts have no password here
    user = person("ida@kettle.example", team)
    user.set_unusable_password()
    user.save()
    browser = signed_in(User.objects.get(pk=user.pk))
    with new_lines() as lines:
        assert browser.post(DELETE).status_code == 302
    (line,) = lines
    assert line.action == AuditAction.ACCOUNT_DELETED
    assert not line.was_done
    assert User.objects.filter(pk=user.pk).exists()


def test_what_goes_on_after_the_confirmation_leaves_its_line(owner, team):
    """allauth puts the interrupted request in the place of the one that confirmed."""

    def answer(request: HttpRequest) -> HttpResponse:
        request.path = request.path_info = DELETE
        return HttpResponseRedirect("/")

    request = RequestFactory().post(CONFIRM)
    request.user, request.team, request.resolver_match = owner, team, None
    with new_lines() as lines:
        AuditMiddleware(answer)(request)
    (line,) = lines
    assert (line.action, line.actor_id) == (AuditAction.ACCOUNT_DELETED, owner.pk)
    assert line.was_done
