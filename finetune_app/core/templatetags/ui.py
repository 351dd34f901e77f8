"""Tags and filters shared by all pages: icons, fields, times, numbers, plurals."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.forms import BoundField
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from finetune_app.core.icons import ICONS
from finetune_app.core.sizes import memory_size, size
from finetune_app.core.tool_calls import message_text

register = template.Library()
register.filter("size", size)
register.filter("memory", memory_size)
register.filter("message_text", message_text)


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """An inline icon, hidden from screen readers because the text beside it says the same."""
    return format_html(
        '<svg class="{}" viewBox="0 0 16 16" aria-hidden="true">{}</svg>',
        f"i {extra}".strip(),
        mark_safe(ICONS[name]),
    )


@register.inclusion_tag("components/button.html")
def button(text: str, **given: Any) -> dict[str, Any]:
    """A button. See components/button.html for its parameters."""
    return {"text": text, **given}


# ---- Fields ----


@register.inclusion_tag("components/field.html")
def field(bound: BoundField, **given: Any) -> dict[str, Any]:
    """One form field with label, help and errors. See components/field.html."""
    return {"field": bound, **given}


PLAIN_WIDGETS = {"checkbox", "radio", "file", "hidden"}


@register.simple_tag
def widget(field: BoundField, extra: str = "", **attrs: Any) -> SafeString:
    """The field's widget with CSS classes. Underscores in names become dashes (aria_label)."""
    kind = getattr(field.field.widget, "input_type", "")
    classes = [] if kind in PLAIN_WIDGETS else ["field"]
    classes += [c for c in (field.field.widget.attrs.get("class", ""), extra) if c]
    given = {name.replace("_", "-"): value for name, value in attrs.items()}
    return field.as_widget(attrs={"class": " ".join(classes), **given} if classes else given)


@register.filter
def kind(field: BoundField) -> str:
    """checkbox, radio, file, select, textarea or the input's type."""
    control = field.field.widget
    by_name = {"Textarea": "textarea", "RadioSelect": "radio", "CheckboxInput": "checkbox"}
    for name, word in by_name.items():
        if name in (base.__name__ for base in type(control).__mro__):
            return word
    return str(getattr(control, "input_type", "text"))


@register.filter
def title_line(label: Any) -> str:
    """The first line of a choice's label: the bold title of a card."""
    return str(label).partition("\n")[0]


@register.filter
def rest_lines(label: Any) -> str:
    """The rest of a choice's label: the description on a card."""
    return str(label).partition("\n")[2].strip()


# ---- Times ----


@register.simple_tag
def local_time(moment: datetime | None, show: str = "both") -> SafeString | str:
    """A <time> in UTC, which the browser rewrites in local time.

    show: both (25 November, 14:10), date, time, or ago (2 hours ago).
    """
    if moment is None:
        return ""
    utc = timezone.localtime(moment, timezone.get_fixed_timezone(0))
    forms = {"both": "j F Y, H:i", "date": "j F Y", "time": "H:i"}
    words = ago(moment) if show == "ago" else date_format(utc, forms[show])
    if show != "ago" and show != "date":
        words += " UTC"
    return format_html(
        '<time datetime="{}" data-local="{}">{}</time>',
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        show,
        words,
    )


@register.filter
def ago(moment: datetime | None) -> str:
    """2 hours ago. A time in the future reads "just now"."""
    if moment is None:
        return ""
    seconds = (timezone.now() - moment).total_seconds()
    if seconds < 60:
        return "just now"
    return f"{_largest_unit(seconds)} ago"


@register.filter
def duration(seconds: float | None) -> str:
    """12 seconds, 6 minutes, 1 hour 40 minutes."""
    if seconds is None:
        return ""
    seconds = round(seconds)
    if seconds < 60:
        return plural(max(seconds, 0), "second")
    minutes = round(seconds / 60)
    if minutes < 60:
        return plural(minutes, "minute")
    hours, rest = divmod(minutes, 60)
    if hours >= 24:
        return _largest_unit(seconds)
    rest = 5 * round(rest / 5) if hours > 1 else rest
    if rest == 60:
        hours, rest = hours + 1, 0
    return plural(hours, "hour") + (f" {plural(rest, 'minute')}" if rest else "")


@register.filter
def about(seconds: float | None) -> str:
    """About 2 minutes; less than a minute."""
    if seconds is None:
        return ""
    return "less than a minute" if seconds < 55 else f"about {duration(seconds)}"


def _largest_unit(seconds: float) -> str:
    for length, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            return plural(int(seconds // length), word)
    return plural(int(seconds), "second")


# ---- Numbers ----


@register.filter
def number(value: float | None, digits: int = 0) -> str:
    """1,234 or 0.75, with `digits` decimal places."""
    return "" if value is None else f"{value:,.{digits}f}"


@register.filter
def waited(seconds: float | None) -> str:
    """40 ms, 0.8 s, 12 s: a duration with sensible precision; – if unknown."""
    if seconds is None:
        return "–"
    if seconds < 0.1:
        return f"{max(1, round(1000 * seconds))} ms"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:,.0f} s"


@register.filter
def plural(count: int | None, words: str) -> str:
    """1 example, 2 examples; `words` may give both forms: "reply,replies"."""
    if count is None:
        return ""
    one, _, many = words.partition(",")
    return f"{count:,} {one if count == 1 else many or one + 's'}"


@register.filter
def percent(share: float | None) -> str:
    """0.867 as 87%."""
    return "" if share is None else f"{100 * share:.0f}%"


@register.filter
def get(mapping: Mapping[Any, Any] | None, key: Any) -> Any:
    """mapping[key], or None."""
    return mapping.get(key) if mapping else None


@register.filter
def marks(rail: list[Any] | None) -> list[str]:
    """The CSS classes of a rail's six marks: on, at or empty for each step."""
    states = [_state(step) for step in rail or []]
    return [{"done": "on", "now": "at"}.get(state, "") for state in states]


@register.simple_tag
def six(done: int, total: int = 6) -> SafeString:
    """The CSS classes of six marks: `done` full, the next one half full."""
    states = ["on" if n < done else "at" if n == done else "" for n in range(total)]
    inside = mark_safe("".join(f'<i class="{s}"></i>' if s else "<i></i>" for s in states))
    return format_html('<span class="six" aria-hidden="true">{}</span>', inside)


def _state(step: Any) -> str:
    state: str = step["state"] if isinstance(step, Mapping) else step.state
    return state
