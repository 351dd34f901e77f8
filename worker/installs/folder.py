"""Copies a model from a folder on this machine."""

from pathlib import Path

from worker.channel import UserError
from worker.installs.files import File, Plan, Tell, plan_of

BLOCK = 1 << 22


class Folder:
    """A local folder. Reads nothing outside it, not even through a symbolic link."""

    def __init__(self, source: str, data_dir: Path) -> None:
        self.source = source
        self._root = _checked(source, data_dir)

    def close(self) -> None:
        """Does nothing: no file stays open."""

    def plan(self) -> Plan:
        offered = []
        for path in sorted(self._root.iterdir()):
            if path.is_file():
                found = path.stat()
                offered.append(File(path.name, found.st_size, changed=found.st_mtime_ns))
        plan = plan_of(self.source, "", offered)
        for file in plan.files:
            self._inside(file.name)
        return plan

    def fetch(self, plan: Plan, file: File, path: Path, tell: Tell) -> None:
        """Copy the whole file, replacing an incomplete copy."""
        part = path.with_name(path.name + ".part")
        copied = 0
        with self._inside(file.name).open("rb") as source, part.open("wb") as target:
            for block in iter(lambda: source.read(BLOCK), b""):
                target.write(block)
                copied += len(block)
                tell(copied)
        if copied != file.size:
            part.unlink()
            raise UserError(
                "bad_model", f"{file.name} changed while it was copied. Try again when it rests."
            )
        part.rename(path)

    def _inside(self, name: str) -> Path:
        path = (self._root / name).resolve()
        if not path.is_relative_to(self._root):
            raise UserError(
                "bad_model",
                f"{name} is a link to something outside the folder, which is not followed. Put "
                "the files themselves into the folder.",
            )
        return path


def _checked(source: str, data_dir: Path) -> Path:
    """The folder's real path. Raises UserError if it is not allowed."""
    try:
        root = Path(source).resolve(strict=True)
        if not root.is_dir():
            raise NotADirectoryError(source)
        next(root.iterdir(), None)
    except (OSError, RuntimeError) as error:
        raise UserError(
            "not_found",
            "That folder is not there, or Finetune may not read it. It has to be on the machine "
            "that Finetune runs on.",
        ) from error
    if root.is_relative_to(data_dir.resolve()):
        raise UserError(
            "bad_model",
            "That folder belongs to Finetune itself. Choose the folder the model came in.",
        )
    return root
