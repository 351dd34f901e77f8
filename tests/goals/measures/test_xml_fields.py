"""Well-formed XML with the right elements; hostile XML is refused and never expanded."""

import pytest

from finetune_app.goals.measures import get_measure

WANTED = '<order id="7"><item>lamp</item><item>bulb</item><due>today</due></order>'
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
    "<order>&b;</order>"
)
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><order>&a;</order>'


def score(answer, wanted=WANTED, **settings):
    return get_measure("xml", settings).check(answer, wanted)


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        (WANTED, "As wanted"),
        (f"```xml\n{WANTED}\n```", "As wanted"),
        (f'<?xml version="1.0" encoding="utf-8"?>\n{WANTED}', "As wanted"),
        (
            '<order id="7">\n <due> today </due>\n <item>bulb</item><item>lamp</item></order>',
            "As wanted",
        ),
        ('<order id="7"><item>lamp</item><due>today</due></order>', "Item is missing"),
        (WANTED.replace("today", "later"), "Due differs"),
        (WANTED.replace('id="7"', 'id="8"'), "Order differs"),
        (WANTED.replace("</due>", "</due><x/>"), "X was not wanted"),
        (
            '<order id="7"><item>lamp<item>bulb</item></item><due>today</due></order>',
            "Elements nested in another way",
        ),
        (WANTED[:-3], "Not valid XML"),
        ("Here it is: " + WANTED, "Not valid XML"),
        ("plain words", "Not valid XML"),
        ("", "Empty answer"),
        ("<a>\0</a>", "Not valid XML"),
        ("<a>\ud800</a>", "Not valid XML"),
        (BOMB, "XML with declarations that we refuse"),
        (OUTSIDE, "XML with declarations that we refuse"),
        ("<!DOCTYPE html><order/>", "XML with declarations that we refuse"),
        ("<a>" * 10_000 + "</a>" * 10_000, "XML nested too deeply"),
        ("<a>" * 60_000, "Not valid XML"),
    ],
)
def test_answers_are_labelled(answer, label):
    assert score(answer).why == label
    assert score(answer).passed == (label == "As wanted")


def test_only_the_chosen_elements_are_compared():
    answer = "<x><due>today</due></x>"
    assert score(answer, fields=["due"]).passed
    assert score(answer, fields=["item"]).why == "Item is missing"
    assert score(answer.replace("today", "later"), fields=["due"]).why == "Due differs"
    assert score(answer, "not xml", fields=["due"], compare="fields").passed
    assert score(answer, "not xml", fields=["item"], compare="fields").why == "Item is missing"
    assert score(answer, "not xml").why == "The wanted answer is not valid XML"


def test_only_names_of_elements_can_be_compared():
    assert score(WANTED.replace("today", "later"), compare="fields").passed
    assert not score("<order/>", compare="fields").passed
