"""Charts: geometry, text alternatives and escaping."""

import math
import re
from xml.etree import ElementTree

import pytest

from finetune_app.core import charts
from finetune_app.core.charts import Whisker, loss

TRAIN = [(step, 0.5 + 2.5 * math.exp(-step / 14)) for step in range(62)]
VALIDATION = [(0, 2.93), (10, 1.7), (20, 1.2), (30, 1.0), (40, 0.9), (50, 0.8), (60, 0.75)]


def parse(markup: str) -> ElementTree.Element:
    """Parse a chart, wrapped because some consist of an svg and a legend."""
    return ElementTree.fromstring(f"<root>{markup}</root>")


def texts(markup: str) -> list[str]:
    return [t.text or "" for t in parse(markup).iter("text")]


def rects(markup: str, kind: str) -> list[ElementTree.Element]:
    return [r for r in parse(markup).iter("rect") if r.get("class") == kind]


EVERY_CHART = {
    "loss": lambda: charts.loss_chart(TRAIN, VALIDATION, 90, steps_per_pass=30),
    "loss, nothing yet": lambda: charts.loss_chart([], [], 90),
    "passes": lambda: charts.passes(61, 90, 3),
    "bar": lambda: charts.bar(3, 10),
    "thin bar": lambda: charts.thin_bar(3, 10),
    "verdict": lambda: charts.verdict_marks(41, 12, 7, urls={"better": "?only=better"}),
    "verdict, too few": lambda: charts.verdict_marks(3, 6, 1, needed=20),
    "verdict, nothing": lambda: charts.verdict_marks(0, 0, 0),
    "whiskers": lambda: charts.whiskers([Whisker("Tuned", 46, 39, 51, ours=True)], 60),
    "sparkline": lambda: charts.sparkline([1, 3, 2], "Requests", start="8:00", end="now"),
    "spark bars": lambda: charts.spark_bars([1, 0, 2], "Errors", kind="red"),
    "memory": lambda: charts.memory_bar(1.9, 5.9, 24, "Needs 1.9 GB of the 5.9 GB free"),
    "memory scale": lambda: charts.memory_scale(5.9, 24),
    "health": lambda: charts.health_bar(86, [5, 5, 3, 1]),
    "gain": lambda: charts.gain(3, 5),
    "stacked bars": lambda: charts.stacked_bars(
        [("ink", [3, 0, 5]), ("red", [0, 0, 1])], "Requests", "8 answered", chart_id="r"
    ),
    "stacked bars, nothing": lambda: charts.stacked_bars([("ink", [])], "x", "y", chart_id="r"),
    "time lines": lambda: charts.time_lines(
        [("l-train", [None, 2.0, None, 1.0, 3.0])], "Waiting", "half 1 s", chart_id="w"
    ),
    "time lines, nothing": lambda: charts.time_lines([("l-x", [None])], "x", "y", chart_id="w"),
}


@pytest.mark.parametrize("name", EVERY_CHART)
def test_every_chart_is_well_formed_and_holds_to_the_content_policy(name: str) -> None:
    markup = str(EVERY_CHART[name]())

    assert parse(markup) is not None
    assert "style=" not in markup
    assert not re.search(r"\son\w+=", markup)
    assert "nan" not in markup.lower()
    assert "inf" not in markup.lower()


@pytest.mark.parametrize("name", EVERY_CHART)
def test_every_outer_svg_either_says_what_it_shows_or_is_hidden(name: str) -> None:
    outer = [
        svg
        for svg in parse(EVERY_CHART[name]()).iter("svg")
        if svg.get("preserveAspectRatio") is None
    ]

    for svg in outer:
        named = svg.get("aria-label") or svg.get("aria-labelledby")
        assert (svg.get("role") == "img" and named) or svg.get("aria-hidden") == "true"


def test_words_from_people_cannot_become_markup() -> None:
    evil = '"><script>alert(1)</script>'

    drawn = [
        charts.whiskers([Whisker(evil, 1, 0, 2)], 10),
        charts.sparkline([1, 2], evil, start=evil),
        charts.bar(1, 2, evil),
        charts.memory_bar(1, 2, 3, evil),
        charts.verdict_marks(1, 1, 1, noun=evil, urls={"better": evil}, chart_id=evil),
        charts.loss_chart(TRAIN, VALIDATION, 90, seen=evil, unseen=evil, chart_id=evil),
    ]

    for markup in drawn:
        assert "<script" not in markup
        parse(markup)


def test_the_loss_chart_tells_the_whole_curve_in_words() -> None:
    markup = charts.loss_chart(TRAIN, VALIDATION, 90, steps_per_pass=30)

    words = parse(markup).find(".//desc").text or ""
    assert "unseen: 2.93 at the start, 0.75 now" in words
    assert "lowest" in words


def test_the_loss_chart_does_not_call_a_rising_loss_a_falling_one() -> None:
    rising = [*VALIDATION, (70, 0.91)]

    words = parse(charts.loss_chart(TRAIN, rising, 90)).find(".//desc").text or ""

    assert "no longer falling" in words


def test_a_loss_is_drawn_where_its_number_says() -> None:
    root = parse(charts.loss_chart([], [(0, 4.0), (50, 1.0)], 100))

    first, last = list(root.iter("circle"))
    assert (first.get("cx"), last.get("cx")) == ("0%", "50%")
    # the axis ends at 4, so 4 is at the top and 1 three quarters down the plot
    assert first.get("cy") == "0%"
    assert float(last.get("cy").rstrip("%")) == pytest.approx(loss.PLOT * 0.75)


def test_numbers_that_are_not_numbers_are_left_out_of_the_curve() -> None:
    broken = [(0, 2.0), (1, math.nan), (2, math.inf), (3, 1.0)]

    root = parse(charts.loss_chart(broken, broken, 10))

    assert len(list(root.iter("circle"))) == 2


def test_a_training_that_ran_past_its_plan_still_fits_the_chart() -> None:
    root = parse(charts.loss_chart([(0, 2.0), (120, 1.0)], [(120, 1.1)], 90))

    assert [c.get("cx") for c in root.iter("circle")] == ["100%"]


@pytest.mark.parametrize("largest", [0.004, 0.07, 0.9, 1.0, 2.93, 3.0, 11.3, 480.0])
def test_the_axis_ends_at_a_round_number_just_above_the_largest(largest: float) -> None:
    top, tick = loss._round_axis(largest)

    assert largest <= top < largest + tick
    assert 2 <= round(top / tick) <= 4
    assert top / tick == pytest.approx(round(top / tick))


def test_lines_that_end_together_get_names_that_do_not_overlap() -> None:
    root = parse(charts.loss_chart([(60, 0.75)], [(60, 0.76)], 90))

    names = {t.text: t for t in root.iter("text") if (t.text or "").startswith(("seen", "unseen"))}
    heights = {
        text: float(t.get("y").rstrip("%")) * 2.4 + float(t.get("dy"))  # 240 px high on a phone
        for text, t in names.items()
    }
    assert abs(heights["seen 0.75"] - heights["unseen 0.76"]) >= 13


def test_three_passes_are_three_bars_and_the_third_has_just_begun() -> None:
    markup = charts.passes(61, 90, 3)

    tracks, fills = rects(markup, "f-track"), rects(markup, "f-accent")
    assert len(tracks) == len(fills) == 3
    assert texts(markup) == ["Pass 1", "Pass 2", "Pass 3 of 3"]
    share = float(fills[2].get("width").rstrip("%")) / float(tracks[2].get("width").rstrip("%"))
    assert share == pytest.approx(1 / 30, abs=0.01)
    assert 'aria-label="Step 61 of 90: pass 3 of 3"' in markup


def test_of_many_passes_only_the_present_one_is_named() -> None:
    assert texts(charts.passes(61, 90, 6)) == ["Pass 5 of 6"]
    assert len(rects(charts.passes(61, 90, 6), "f-track")) == 6


@pytest.mark.parametrize(("step", "total"), [(0, 90), (90, 90), (95, 90), (0, 0)])
def test_progress_is_never_below_nothing_or_above_everything(step: int, total: int) -> None:
    markup = charts.passes(step, total, 3)

    for fill, track in zip(rects(markup, "f-accent"), rects(markup, "f-track"), strict=False):
        assert float(fill.get("width").rstrip("%")) <= float(track.get("width").rstrip("%")) + 0.01
    if not total or not step:
        assert not rects(markup, "f-accent")


def test_the_verdict_has_one_mark_for_each_prompt() -> None:
    root = parse(charts.verdict_marks(41, 12, 7, noun="emails"))

    better, same, worse = root.iter("g")
    assert [len(list(group.iter("rect"))) for group in (better, same, worse)] == [41, 12, 7]
    assert worse.get("fill") == "url(#units-hatch)"  # worse differs by pattern, not only by colour
    svg = next(root.iter("svg"))
    assert svg.get("aria-label") == "60 emails: 41 better, 12 the same, 7 worse"
    last = list(worse.iter("rect"))[-1]
    end = float(last.get("x").rstrip("%")) + float(last.get("width").rstrip("%"))
    assert end == pytest.approx(100, abs=0.5)


def test_the_key_links_to_the_prompts_it_counts_and_leaves_out_empty_groups() -> None:
    markup = charts.verdict_marks(41, 0, 7, urls={"worse": "?only=worse"})

    assert '<a href="?only=worse"><b>7 worse</b></a>' in markup
    assert "0 same" not in markup


def test_too_few_prompts_look_few_and_the_missing_ones_are_empty_places() -> None:
    root = parse(charts.verdict_marks(3, 6, 1, needed=20))

    *_, ghosts = root.iter("g")
    assert ghosts.get("class") == "f-ghost"
    assert len(list(ghosts.iter("rect"))) == 20
    assert "About 20 more would settle it" in next(root.iter("svg")).get("aria-label")

    few = list(parse(charts.verdict_marks(3, 6, 1)).iter("g"))[-1]
    right = [float(r.get("x").rstrip("%")) for r in few.iter("rect")][-1]
    assert right < 40


def test_thousands_of_prompts_become_three_plain_bars() -> None:
    root = parse(charts.verdict_marks(2000, 800, 200))

    assert [len(list(group.iter("rect"))) for group in root.iter("g")] == [1, 1, 1]


def test_a_whisker_stands_where_its_numbers_say() -> None:
    markup = charts.whiskers([Whisker("Tuned", 45, 30, 60, ours=True)], 60)
    root = parse(markup)

    reach = next(line for line in root.iter("line") if "reach" in (line.get("class") or ""))
    spot = next(root.iter("circle"))
    assert (reach.get("x1"), reach.get("x2"), spot.get("cx")) == ("50%", "100%", "75%")
    assert spot.get("class") == "spot ours"
    assert "<b>45</b> <small>30 to 60</small>" in markup
    assert texts(markup) == ["0", "15", "30", "45", "60"]


@pytest.mark.parametrize(
    ("needed", "kind"), [(1.9, "f-accent"), (5.9, "f-accent"), (6.8, "f-amber"), (21, "f-red")]
)
def test_memory_is_teal_where_it_fits_amber_when_close_red_beyond(needed: float, kind: str) -> None:
    markup = charts.memory_bar(needed, 5.9, 24, "x")

    assert len(rects(markup, kind)) == 1
    assert rects(markup, "f-track")


def test_the_health_bar_shows_what_each_finding_would_add_back() -> None:
    markup = charts.health_bar(86, [5, 5, 3, 1])

    assert len(rects(markup, "f-amber")) == 4
    assert "86" in texts(markup)
    assert texts(markup).count("+5") == 2
    assert "The findings below would add 5, 5, 3, 1" in markup


def test_parts_of_a_bar_stand_on_each_other() -> None:
    chart = charts.stacked_bars(
        [("ink", [3, 0, 5]), ("red", [1, 0, 1])], "Requests", "9", chart_id="r"
    )
    ink, red = rects(chart, "f-ink"), rects(chart, "f-red")
    assert len(ink) == len(red) == 2  # zero values draw nothing
    assert float(red[0].get("y")) + float(red[0].get("height")) == float(ink[0].get("y"))
    assert "6" in texts(chart)


def test_a_line_has_gaps_and_a_value_alone_is_a_dot() -> None:
    chart = charts.time_lines(
        [("l-train", [None, 2.0, None, 1.0, 4.0])], "Waiting", "half", chart_id="w"
    )
    (path,) = parse(chart).iter("path")
    assert path.get("d") == "M30 50M70 75L90 0"
    assert len(list(parse(chart).iter("circle"))) == 1


def test_a_larger_chart_is_named_and_described() -> None:
    svg = parse(charts.time_lines([("l-x", [1.0])], "Waiting", "a < b", chart_id="w")).find("svg")
    assert svg.get("aria-labelledby") == "w-t w-d"
    assert (svg.find("title").text, svg.find("desc").text) == ("Waiting", "a < b")
