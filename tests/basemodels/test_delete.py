"""Base models of a team are deleted with it."""

import pytest

from finetune_app.basemodels.models import BaseModel
from tests import journey


@pytest.mark.parametrize("place", ["models/tiny", "models/.everyday/tiny"])
def test_its_files_go_and_what_trainings_kept_of_it(
    team, data_dir, django_capture_on_commit_callbacks, place
):
    model = BaseModel.objects.create(slug="tiny", name="Tiny", source="lab/tiny", team=team)
    folder = journey.write(f"{place}/file", "").parent
    other = journey.write(f"{place}-2/file", "")
    with django_capture_on_commit_callbacks(execute=True):
        model.delete()
    assert not folder.exists()
    assert other.exists()
