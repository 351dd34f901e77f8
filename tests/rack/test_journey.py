"""From a file to the API while each host dies in turn: python -m pytest -s -m long tests/rack"""

from typing import get_args

from finetune_app.evaluation.verdict.types import Level
from tests.rack import jobs
from tests.rack.hosts import Rack
from tests.rack.journey import Live


def test_a_person_comes_from_a_file_to_the_api_while_each_host_dies_in_turn(rack: Rack, live: Live):
    print(live.words)
    assert live.level in get_args(Level)
    assert live.program.ask().is_whole
    jobs.assert_none_lost_or_doubled(rack)
