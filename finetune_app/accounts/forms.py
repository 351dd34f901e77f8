"""Forms for accounts and teams. Django's validators check passwords."""

from typing import Any

from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts import services
from finetune_app.accounts.models import Role, Team, User
from finetune_app.accounts.password_strength import MIN_CHARACTERS

CURRENT = {"autocomplete": "current-password"}
NEW = {"autocomplete": "new-password"}
ROLES = [(Role.OWNER, _("Owner")), (Role.EDITOR, _("Editor")), (Role.VIEWER, _("Viewer"))]


class PasswordField(forms.CharField):
    """A password input that keeps leading and trailing spaces."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = kwargs.pop("attrs", CURRENT)
        kwargs.setdefault("label", _("Password"))
        super().__init__(strip=False, widget=forms.PasswordInput(attrs=attrs), **kwargs)


def email_field() -> forms.EmailField:
    return forms.EmailField(
        label=_("E-mail address"), widget=forms.EmailInput(attrs={"autocomplete": "username"})
    )


def name_field() -> forms.CharField:
    return forms.CharField(
        label=_("Your name"), max_length=80, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )


def unused_email(email: str, *, exclude: User | None = None) -> str:
    """The normalised address. Raises ValidationError if another user has it."""
    email = email.strip().lower()
    others = User.objects.exclude(pk=exclude.pk) if exclude else User.objects.all()
    if others.filter(email=email).exists():
        raise ValidationError(_("There is an account with this address already."))
    return email


class NewAccountForm(forms.Form):
    """Name, e-mail address and password of a new user."""

    email = email_field()
    name = name_field()
    password = PasswordField(
        label=_("Password"),
        help_text=_("At least %(n)d characters. Four ordinary words make a good one.")
        % {"n": MIN_CHARACTERS},
        attrs=NEW,
    )

    def clean_email(self) -> str:
        return unused_email(self.cleaned_data["email"])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if "password" in data:
            person = User(email=data.get("email", ""), name=data.get("name", ""))
            try:
                validate_password(data["password"], person)
            except ValidationError as error:
                self.add_error("password", error)
        return data


class SetUpForm(NewAccountForm):
    team_name = forms.CharField(
        label=_("Your team"),
        max_length=80,
        help_text=_("A company, a group, or just you. You can change it later."),
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    field_order = ["email", "name", "password", "team_name"]


class SetUpCodeForm(forms.Form):
    code = forms.CharField(
        label=_("Set-up code"),
        max_length=60,
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "characters"}
        ),
    )


class SignInForm(forms.Form):
    email = email_field()
    password = PasswordField()

    def __init__(self, request: HttpRequest, data: Any = None) -> None:
        super().__init__(data)
        self.request = request
        self.user: User | None = None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("email") and data.get("password"):
            email = data["email"].strip().lower()
            found = authenticate(self.request, email=email, password=data["password"])
            if found is None:
                # One message for both mistakes, so that it does not reveal who has an account.
                raise ValidationError(
                    _("This address and password do not belong together. Try again.")
                )
            self.user = found
        return data


class PasswordCheckForm(forms.Form):
    """A form that asks for the current password again."""

    def __init__(self, request: HttpRequest, data: Any = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.request = request

    def check(self, password: str) -> str:
        user: User = self.request.user  # type: ignore[assignment]
        if not services.password_is_right(self.request, user, password):
            raise ValidationError(_("That is not your password."))
        return password


class ChangePasswordForm(PasswordCheckForm):
    old = PasswordField(label=_("Password now"))
    new = PasswordField(
        label=_("New password"),
        help_text=_("At least %(n)d characters.") % {"n": MIN_CHARACTERS},
        attrs=NEW,
    )

    def clean_old(self) -> str:
        return self.check(self.cleaned_data["old"])

    def clean_new(self) -> str:
        new: str = self.cleaned_data["new"]
        validate_password(new, self.request.user)  # type: ignore[arg-type]
        return new


class DeleteAccountForm(PasswordCheckForm):
    """Accounts without a password have confirmed who they are before (views/account.py)."""

    password = PasswordField(label=_("Your password"))

    def __init__(self, request: HttpRequest, data: Any = None) -> None:
        super().__init__(request, data)
        user: User = request.user  # type: ignore[assignment]
        if not user.has_usable_password():
            del self.fields["password"]

    def clean_password(self) -> str:
        return self.check(self.cleaned_data["password"])


class ProfileForm(PasswordCheckForm):
    """Name and e-mail address. The address is what one signs in with, so a new one needs the
    password; without a password it is the provider's to change."""

    name = name_field()
    email = email_field()
    password = PasswordField(
        label=_("Your password"), required=False, help_text=_("Only to change the address.")
    )

    def __init__(self, request: HttpRequest, data: Any = None) -> None:
        user: User = request.user  # type: ignore[assignment]
        super().__init__(request, data, initial={"name": user.name, "email": user.email})
        if not user.has_usable_password():
            del self.fields["password"]
            self.fields["email"].disabled = True

    def clean_email(self) -> str:
        user: User = self.request.user  # type: ignore[assignment]
        return unused_email(self.cleaned_data["email"], exclude=user)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        user: User = self.request.user  # type: ignore[assignment]
        if data.get("email", user.email) == user.email:
            return data
        if not data.get("password"):
            self.add_error("password", _("A new address needs your password."))
            return data
        try:
            self.check(data["password"])
        except ValidationError as error:
            self.add_error("password", error)
        return data


class TeamNameForm(forms.Form):
    name = forms.CharField(
        label=_("Name of the team"),
        max_length=80,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class RoleForm(forms.Form):
    role = forms.ChoiceField(
        label=_("Role"),
        choices=ROLES,
        initial=Role.EDITOR,
    )

    def chosen(self) -> Role:
        return Role(self.cleaned_data["role"])


class DeleteTeamForm(forms.Form):
    """Deleting a team cannot be undone, so the user types its name."""

    name = forms.CharField(
        label=_("Type the team's name"), widget=forms.TextInput(attrs={"autocomplete": "off"})
    )

    def __init__(self, team: Team, data: Any = None) -> None:
        super().__init__(data)
        self.team = team

    def clean_name(self) -> str:
        if self.cleaned_data["name"].strip().casefold() != self.team.name.strip().casefold():
            raise ValidationError(_("That is not the name of the team."))
        return str(self.cleaned_data["name"])
