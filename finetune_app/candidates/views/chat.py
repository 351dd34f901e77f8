"""Chat: the same question to base and tuned, answers side by side."""

from asgiref.sync import async_to_sync
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse

from finetune_app.accounts.models import Role
from finetune_app.candidates import talk
from finetune_app.core.requests import HttpRequest, render_page, whole_number
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.training.models import Training


@goal_page(Role.VIEWER, "GET", "POST")
def chat(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The page; a POST without script answers it whole."""
    training = _training(request, goal)
    turns = talk.read_history(request.POST.get("history", ""))
    error = ""
    if request.method == "POST" and training:
        try:
            question = talk.check_question(request.POST.get("question", ""))
            said = async_to_sync(talk.whole)(talk.ask(training, turns, question))
            turns.append(talk.Turn(question, said))
        except talk.TalkError as problem:
            error = str(problem)
    context = {
        "goal": goal, "training": training, "trained": _trained(goal),
        "turns": turns, "error": error,
        "history": talk.write_history(turns),
        "question": request.POST.get("question", "") if error else "",
        "examples": [pair["prompt"] for pair in goal.pairs][:3],
    }
    return render_page(request, "candidates/chat.html", context, status=422 if error else 200)


@goal_page(Role.VIEWER, "POST")
def stream(request: HttpRequest, goal: Goal) -> HttpResponseBase:
    """Both answers as they are written: JSON lines {"lane", "text"} ... {"lane", "done"}."""
    training = _training(request, goal)
    if training is None:
        raise Http404("no tuned model yet")
    try:
        question = talk.check_question(request.POST.get("question", ""))
    except talk.TalkError as problem:
        return JsonResponse({"error": str(problem)}, status=422)
    asked = talk.ask(training, talk.read_history(request.POST.get("history", "")), question)
    return StreamingHttpResponse(
        talk.lines(asked), content_type="application/x-ndjson",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _training(request: HttpRequest, goal: Goal) -> Training | None:
    """The one asked for by number, else the newest that has an adapter."""
    number = whole_number(request.GET.get("training"))
    trained = _trained(goal)
    return trained.first() if number is None else trained.filter(number=number).first()


def _trained(goal: Goal) -> QuerySet[Training]:
    """Trainings that can answer, the newest first."""
    return goal.trainings.exclude(adapter_sha256="").select_related("base_model", "goal")
