"""What a training has learned from: its version, and those of the trainings it goes on from."""

from finetune_app.training.models import Training

EARLIER_VERSIONS = "earlier_versions"  # in the spec: ids, since an earlier training can be deleted


def chain_of(training: Training) -> list[Training]:
    """The training and those that it goes on from, the newest first."""
    found = [training]
    while earlier := found[-1].starts_from:
        found.append(earlier)
    return found


def version_ids(training: Training) -> set[int]:
    """Of all versions that its weights have learned from."""
    found: set[int] = set()
    for one in chain_of(training):
        found |= {one.version_id, *one.spec.get(EARLIER_VERSIONS, [])}
    return found
