"""A dataset with one defect of every kind that the checks find."""

from finetune_app.checks import services as checks
from finetune_app.datasets.models import Dataset, Label
from finetune_app.datasets.services import add_rows
from tests.conftest import person
from tests.example_rows import conversation, pair

ASKED = "Could you please tell me when the repair of my bicycle will be finished this week"
FRENCH = "Pouvez-vous me dire quand la réparation de mon vélo sera terminée cette semaine"
LONG = "The front wheel of my bicycle makes a strange noise when I brake hard on the way down"


def with_defects(dataset: Dataset) -> Dataset:
    """Add about 200 rows and check them."""
    good = [conversation(*pair(n)) for n in range(150)]
    good[7] = [{"role": "system", "content": "Sort this email."}, *good[7]]
    answer = pair(3)[1]
    bad = [
        good[3],
        good[4],
        conversation(pair(5)[0].upper(), pair(5)[1]),
        *(conversation(LONG + end, answer) for end in (".", " now.", " again.")),
        conversation(ASKED, "topic: fork\ndue: today"),
        conversation(ASKED, "topic: bell\ndue: soon"),
        *(conversation(f"{FRENCH}, {n} {n * 77}", answer) for n in range(14)),
        conversation("Write to anna.berg@posteo.de or call +49 30 901820 before noon", answer),
        conversation("Take it from DE89 3704 0044 0532 0130 00, it came from 84.17.52.3", answer),
        conversation("I cannot log in with the password: hunter2!x any more", answer),
        conversation("Der ReiÃŸverschluss am KÃ¶nigsplatz klemmt", answer),
        conversation("Where is it?", "N/A"),
        conversation(LONG, LONG),
        conversation(ASKED + " or next", ""),
        [{"role": "narrator", "content": "It rains."}, {"role": "assistant", "content": "Yes."}],
    ]
    add_rows(dataset=dataset, by=None, rows=[{"messages": one} for one in [*good, *bad]])
    add_rows(
        dataset=dataset,
        by=None,
        rows=[
            {"messages": conversation(pair(9)[0] + " Thanks", answer), "split": "test"},
            {"messages": conversation(pair(10)[0] + " Thanks", answer), "split": "validation"},
        ],
    )
    team = dataset.goal.team
    people = [person(f"{name}{team.pk}@labels.example", team) for name in ("kim", "lou")]
    for place, example in enumerate(dataset.examples.usable()[:10]):
        for who, by in enumerate(people):
            own = "bell" if who and place < 5 else "fork"
            Label.objects.create(example=example, by=by, answer=own)
    checks.run_checks(dataset)
    return dataset
