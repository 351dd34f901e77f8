"""What judges said, for the report of an evaluation, its tables of answers, and the model card."""

from django.utils.translation import gettext as _

from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.report.additions import OtherOpinion, ReportAddition
from finetune_app.evaluation.report.sections import Fact, Section
from finetune_app.jobs.models import ACTIVE
from finetune_app.judging.models import JudgeRun
from finetune_app.judging.presenters import opinion_of, outcomes_of


class SecondOpinions(ReportAddition):
    def sections(self, evaluation: Evaluation) -> list[Section]:
        """Nothing where no judge was asked."""
        facts = opinion_facts(evaluation)
        return [Section(_("What a judge says"), [decides_nothing()], facts=facts)] if facts else []

    def opinions(self, evaluation: Evaluation) -> list[OtherOpinion]:
        """Of the judges that passed their test."""
        heard = [run for run in _runs(evaluation) if run.is_done and not run.result["bias"]]
        return [OtherOpinion(_name(run, heard), outcomes_of(run)) for run in heard]


def opinion_facts(evaluation: Evaluation) -> list[Fact]:
    """One for each judge that was asked, the first one first: whoever asks until one agrees shows
    the others, too, and how many are deleted. Of one that is still being asked there is nothing to
    say."""
    runs = _runs(evaluation)
    facts = [_fact(run, _name(run, runs)) for run in runs if run.job.state not in ACTIVE]
    deleted = evaluation.judges_heard - sum(bool(run.result.get("split")) for run in runs)
    return [*facts, _deleted_fact(deleted)] if deleted > 0 else facts


def _deleted_fact(count: int) -> Fact:
    note = _("Each was one more look at the same answers, so it stays counted.")
    return Fact(_("Deleted opinions"), str(count), note)


def decides_nothing() -> str:
    return _(
        "A judge is another model that compares both answers without knowing whose they are, in "
        "both orders. It is first tested on pairs whose right answer is known. It decides nothing: "
        "the verdict and the recommendation are the same without it."
    )


def _fact(run: JudgeRun, name: str) -> Fact:
    if not run.is_done:
        return Fact(name, _("Asked, and not finished"), _("So it has no opinion."))
    opinion = opinion_of(run)
    if not opinion.passed:
        hidden = _("So what it preferred is not shown.")
        return Fact(name, _("Refused for bias"), f"{opinion.headline} {opinion.sentence} {hidden}")
    people = opinion.people or _("No person who voted blind has decided, so nobody has checked it.")
    return Fact(name, opinion.headline, f"{opinion.sentence} {opinion.trust} {people}")


def _runs(evaluation: Evaluation) -> list[JudgeRun]:
    return list(evaluation.judge_runs.with_details().order_by("pk"))


def _name(run: JudgeRun, runs: list[JudgeRun]) -> str:
    """Numbered where the same judge was asked several times."""
    same = [one for one in runs if one.judge_name == run.judge_name]
    name = _("Judge: %(name)s") % {"name": run.judge_name}
    return f"{name} {same.index(run) + 1}" if len(same) > 1 else name
