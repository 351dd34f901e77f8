"""Shared template tags and filters."""

from datetime import UTC, datetime, timedelta

import pytest
from django import forms
from django.template import Context, Template
from django.utils import timezone

from finetune_app.core.icons import ICONS
from finetune_app.core.templatetags import ui
from tests.page_text import compact


def render(source: str, **context: object) -> str:
    return Template("{% load ui %}" + source).render(Context(context))


@pytest.mark.parametrize("name", ICONS)
def test_every_icon_is_drawn_and_hidden_from_screen_readers(name: str) -> None:
    markup = ui.icon(name)

    assert 'aria-hidden="true"' in markup
    assert "<path" in markup or "<rect" in markup or "<circle" in markup


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (359, "6 minutes"),
        (3599, "1 hour"),
        (6000, "1 hour 40 minutes"),
        (7320, "2 hours"),
        (8 * 3600 - 60, "8 hours"),
        (50 * 3600, "2 days"),
    ],
)
def test_a_duration_is_as_exact_as_a_person_needs(seconds: float, words: str) -> None:
    assert ui.duration(seconds) == words


def test_estimates_are_worded_as_estimates() -> None:
    assert ui.about(120) == "about 2 minutes"
    assert ui.about(20) == "less than a minute"


def test_counts_agree_with_their_nouns() -> None:
    assert ui.plural(1, "example") == "1 example"
    assert ui.plural(1234, "example") == "1,234 examples"
    assert ui.plural(2, "reply,replies") == "2 replies"
    assert ui.plural(0, "reply,replies") == "0 replies"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (840, "840 bytes"),
        (12_000_000, "12 MB"),
        (700_000_000, "0.7 GB"),
        (1.6e10, "16 GB"),
    ],
)
def test_sizes_use_powers_of_ten(count: float, words: str) -> None:
    assert ui.size(count) == words


def test_a_time_is_sent_in_utc_with_its_zone_named() -> None:
    markup = ui.local_time(datetime(2026, 11, 25, 14, 10, tzinfo=UTC))

    assert markup == (
        '<time datetime="2026-11-25T14:10:00Z" data-local="both">25 November 2026, 14:10 UTC</time>'
    )


def test_the_past_is_said_in_its_largest_unit_and_the_future_never() -> None:
    now = timezone.now()

    assert ui.ago(now - timedelta(hours=2, minutes=50)) == "2 hours ago"
    assert ui.ago(now - timedelta(days=1, hours=3)) == "1 day ago"
    assert ui.ago(now + timedelta(minutes=5)) == "just now"


class SampleForm(forms.Form):
    name = forms.CharField(label="Name", help_text="In your own words.")
    kind = forms.ChoiceField(
        label="Kind",
        choices=[("form", "Form\nFixed lines"), ("tone", "Tone")],
        widget=forms.RadioSelect,
    )
    agree = forms.BooleanField(label="I accept")
    file = forms.FileField(label="Drop a file here")


def test_a_field_ties_its_label_help_and_errors_to_the_control() -> None:
    markup = compact(render("{% field form.name %}", form=SampleForm({})))

    assert '<label for="id_name">Name</label>' in markup
    assert 'aria-describedby="id_name_helptext id_name_error"' in markup
    assert 'id="id_name_helptext"' in markup
    assert 'id="id_name_error"' in markup
    assert 'aria-invalid="true"' in markup
    assert 'class="field"' in markup


def test_radios_become_cards_with_a_bold_line_and_small_print() -> None:
    markup = compact(render("{% field form.kind %}", form=SampleForm()))

    assert "<legend>Kind</legend>" in markup
    assert "<b>Form</b><small>Fixed lines</small>" in markup
    assert "<b>Tone</b>" in markup
    assert markup.count('type="radio"') == 2


def test_a_tick_and_a_drop_zone_keep_their_native_controls() -> None:
    form = SampleForm()

    assert 'type="checkbox"' in render("{% field form.agree %}", form=form)
    assert 'type="file"' in render("{% field form.file %}", form=form)


def test_a_button_ignores_the_page_context() -> None:
    markup = render('{% button "Train" look="primary" %}', form="f", name="n", href="/x", text="no")

    assert compact(markup) == '<button class="btn primary">Train</button>'


def test_six_marks_show_how_far_a_goal_is() -> None:
    markup = ui.six(4)

    assert markup.count('class="on"') == 4
    assert markup.count('class="at"') == 1
    assert markup.count("<i") == 6
