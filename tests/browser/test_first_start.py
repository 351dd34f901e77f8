"""The first minute of an installation: people come in before the starter model is there."""

import re

import pytest
from playwright.sync_api import expect

from tests import starter
from tests.browser.person import MINUTES, Person
from tests.installation import started


@pytest.mark.long
def test_who_is_quicker_than_the_starter_waits_for_it(tmp_path, new_context):
    no_network = {"PIP_NO_INDEX": "1"}
    with started(tmp_path, no_network, with_starter=False) as installation:
        mara = Person.arrives(new_context(), installation.address)
        mara.signs_up()
        mara.click("Try it with sample data")
        main = mara.page.locator("main")
        expect(main).to_contain_text("Check the network. Finetune keeps trying.", timeout=MINUTES)
        mara.photograph("starter-cannot-be-fetched")

        starter.link_starter(installation.data_dir)  # as if the network were back
        mara.page.get_by_role("button", name=re.compile("^Use SmolLM2")).click(timeout=MINUTES)
        expect(mara.page.get_by_role("button", name="Train", exact=True)).to_be_enabled()
