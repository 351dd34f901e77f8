"""A backup in one file, and back again, with the real database."""

import re
import shutil
import tarfile
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.db import connection

from finetune_app.accounts.models import User
from finetune_app.core import in_use
from finetune_app.core.files import local_path
from finetune_app.evaluation.models import Answer
from finetune_app.fine_tuning_api import services as fine_tuning
from finetune_app.fine_tuning_api.models import ApiFile
from finetune_app.goals.models import Goal
from finetune_app.knowledge.models import Document, Knowledge
from finetune_app.operations import backups, exclusive_use
from finetune_app.training.models import Training
from tests import journey

needs_client = pytest.mark.skipif(
    connection.vendor == "postgresql" and not shutil.which("pg_dump"),
    reason="pg_dump is not on this machine",
)
pytestmark = [needs_client, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Other tests of this process may have served pages."""
    in_use.release()
    monkeypatch.setattr(exclusive_use, "WATCH_SECONDS", 0)


@pytest.fixture
def whole(goal, owner) -> Goal:
    journey.evaluated(journey.trained(journey.ready(goal, owner), owner), owner)
    training = Training.objects.get()
    journey.write(f"{training.folder}/checkpoints/step-000030/state.pt", "large")
    journey.write("runs/.7.deleted/model.safetensors", "its deletion was cut off")
    journey.write(f"uploads/{goal.pk}/emails.csv", "email,topic\n")
    return goal


@pytest.fixture
def saved(whole, tmp_path) -> Path:
    target = tmp_path / "kept" / "backup.tar.gz"
    call_command("backup", str(target), stdout=StringIO())
    return target


def restore(source: Path, **options: object) -> str:
    out = StringIO()
    call_command("restore", str(source), stdout=out, **options)
    return out.getvalue()


def test_it_comes_back_whole(saved, whole, owner, data_dir):
    version = local_path(whole.dataset.versions.get().stored_name).read_bytes()
    answers = list(Answer.objects.values_list("text", flat=True))
    weights = data_dir / Training.objects.get().adapter_folder / "adapter_model.safetensors"
    secrets = (data_dir / "secrets.json").read_bytes()
    whole.delete()
    User.objects.all().delete()
    shutil.rmtree(data_dir / "runs")
    late = journey.write("uploads/99/late.csv", "came after the backup")

    said = restore(saved)
    assert "Restored." in said
    assert "  uploads/99/late.csv" in said

    back = Goal.objects.get()
    assert (back.name, back.created_by.email) == ("Sort shop emails", owner.email)
    assert list(Answer.objects.values_list("text", flat=True)) == answers
    assert local_path(back.dataset.versions.get().stored_name).read_bytes() == version
    assert weights.read_text() == "weights"
    assert (data_dir / "secrets.json").read_bytes() == secrets
    assert not late.exists()
    assert Goal.objects.create(team=back.team, name="Another").pk > back.pk


def test_a_job_after_it_finds_no_files_of_another_with_its_number(saved):
    """The numbers of what came after the backup are given again."""
    late = [journey.write(f"{one}/9/outcomes.json", "[]") for one in backups.UNSAVED_FOLDERS]
    assert "/9" not in restore(saved, force=True)  # nothing that anybody made
    assert not [path for path in late if path.exists()]


def test_every_folder_of_a_row_is_saved_or_emptied():
    """Base models and their downloads are found by their name, and stay."""
    source = Path(settings.BASE_DIR, "finetune_app")
    named = re.compile(r'f"([a-z_-]+)/\{[a-z]+\.(?:pk|slug|public_id|job_id)\b')
    found = {name for file in source.rglob("*.py") for name in named.findall(file.read_text())}
    assert {"runs", "searches", "exports"} <= found
    known = {*backups.FOLDERS, *backups.UNSAVED_FOLDERS, "models", "installs"}
    assert found <= known


def test_files_of_the_api_come_back(whole, team, tmp_path, data_dir):
    rows = ContentFile(b'{"messages": []}\n')
    kept = fine_tuning.save_file(team=team, name="mine.jsonl", purpose="fine-tune", file=rows)
    target = tmp_path / "backup.tar.gz"
    call_command("backup", str(target), stdout=StringIO())
    shutil.rmtree(data_dir / "api-files")
    restore(target, force=True)
    assert (
        local_path(ApiFile.objects.get(pk=kept.pk).storage_path).read_bytes()
        == b'{"messages": []}\n'
    )


def test_it_holds_no_checkpoints_no_models_and_is_private(saved):
    assert saved.stat().st_mode & 0o077 == 0
    with tarfile.open(saved) as archive:
        names = archive.getnames()
    assert any(name.endswith("adapter_model.safetensors") for name in names)
    assert any(name.startswith("uploads/") for name in names)
    assert not [name for name in names if name.endswith(".deleted/model.safetensors")]
    assert not [name for name in names if "checkpoints" in name or name.startswith("models")]


def test_a_folder_that_is_a_link_to_another_disk_is_filled_anew(saved, data_dir, tmp_path, request):
    disk = tmp_path / "larger"
    shutil.move(data_dir / "runs", disk)
    (data_dir / "runs").symlink_to(disk)
    request.addfinalizer((data_dir / "runs").unlink)
    late = journey.write("runs/99/late.txt", "came after the backup")
    assert "  runs/99/late.txt" in restore(saved, force=True)
    assert (data_dir / "runs").is_symlink()
    assert (disk / str(Training.objects.get().pk)).is_dir()
    assert not (disk / "runs").exists()
    assert not late.exists()


def test_what_is_here_is_not_overwritten_unasked(saved, whole):
    whole.name = "Changed since"
    whole.save()
    with pytest.raises(CommandError, match="Add --force"):
        restore(saved)
    assert Goal.objects.get().name == "Changed since"
    restore(saved, force=True)
    assert Goal.objects.get().name == "Sort shop emails"


def test_any_other_file_is_refused(tmp_path, db):
    with pytest.raises(CommandError, match="There is no file"):
        restore(tmp_path / "nothing.tar.gz")
    other = tmp_path / "notes.txt"
    other.write_text("not a backup")
    with pytest.raises(CommandError, match="is not a backup"):
        restore(other)
    with tarfile.open(tmp_path / "photos.tar.gz", "w:gz") as archive:
        archive.add(other, "notes.txt")
    with pytest.raises(CommandError, match="is not a backup"):
        restore(tmp_path / "photos.tar.gz")


def damaged(saved: Path, *, at: int) -> Path:
    """A copy with one changed byte."""
    content = bytearray(saved.read_bytes())
    content[at] ^= 0xFF
    copy = saved.with_name("damaged.tar.gz")
    copy.write_bytes(content)
    return copy


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_damaged_backup_is_refused_and_nothing_is_lost(saved, whole, data_dir, part):
    late = journey.write("uploads/99/late.csv", "came after the backup")
    with pytest.raises(CommandError, match=r"is damaged: .* Nothing was changed"):
        restore(damaged(saved, at=int(saved.stat().st_size * part)), force=True)
    assert late.exists()
    assert Goal.objects.get() == whole


@pytest.mark.parametrize("kept", [15, 1000, -1])
def test_a_backup_that_is_cut_short_is_refused(saved, whole, kept):
    cut = saved.with_name("cut.tar.gz")
    cut.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(CommandError, match=r"is damaged: .* Nothing was changed"):
        restore(cut, force=True)
    assert Goal.objects.get() == whole


def test_a_backup_of_another_kind_of_database_is_refused(tmp_path, data_dir, settings, db):
    wrong = backups.DUMP if settings.ON_SQLITE else backups.DATABASE
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz") as archive:
        archive.add(data_dir / "secrets.json", "secrets.json")
        archive.add(data_dir / "secrets.json", wrong)
    with pytest.raises(CommandError, match="another kind of database"):
        restore(tmp_path / "other.tar.gz")


def test_a_backup_of_a_newer_version_is_refused(tmp_path, data_dir, settings, db):
    manifest = tmp_path / "manifest.json"
    manifest.write_text('{"made_at": "", "migrations": {"goals": ["0099_next_year"]}}')
    with tarfile.open(tmp_path / "newer.tar.gz", "w:gz") as archive:
        archive.add(manifest, "manifest.json")
        archive.add(manifest, "secrets.json")
        archive.add(manifest, backups.DATABASE if settings.ON_SQLITE else backups.DUMP)
    with pytest.raises(CommandError, match=r"newer version .* goals.0099_next_year"):
        restore(tmp_path / "newer.tar.gz")


def test_a_backup_that_fails_leaves_nothing_half_written(whole, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backups, "_add", full)
    with pytest.raises(CommandError, match="No space left"):
        call_command("backup", str(tmp_path / "b.tar.gz"), stdout=StringIO())
    assert list(tmp_path.iterdir()) == []


def test_without_a_name_it_lies_among_the_backups(whole, data_dir):
    out = StringIO()
    call_command("backup", stdout=out)
    (made,) = (data_dir / "backups").iterdir()
    assert str(made) in out.getvalue()
    made.unlink()


def test_documents_are_in_it_and_their_index_is_made_again(whole, owner, tmp_path, data_dir):
    """The upload and its text come back; what can be made again is left out."""
    found = Knowledge.objects.create(goal=whole, index=4, last_index=4, passages=1)
    folder = f"{found.folder}/documents/1"
    Document.objects.create(
        knowledge=found, name="pump.md", folder=folder, sha256="0" * 64, state="ready"
    )
    journey.write(f"{folder}/upload", "# Pump")
    journey.write(f"{found.index_folder}/index.json", "{}")
    target = tmp_path / "backup.tar.gz"
    call_command("backup", str(target), stdout=StringIO())
    with tarfile.open(target) as archive:
        assert not [name for name in archive.getnames() if "index-4" in name]
    shutil.rmtree(data_dir / "knowledge")
    restore(target, force=True)
    assert (data_dir / folder / "upload").read_text() == "# Pump"
    back = Knowledge.objects.get()
    assert (back.index, back.job.state, back.job.spec["number"]) == (0, "queued", 4)
