"""Show questions, take votes, show what came out."""

from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from .models import Question


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    questions = Question.objects.published().with_total()
    return render(request, "polls/index.html", {"questions": questions})


@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    question = get_object_or_404(Question.objects.published(), pk=pk)
    if question.closed:
        return redirect("polls:results", pk)
    return render(request, "polls/detail.html", {"question": question})


@require_POST
def vote(request: HttpRequest, pk: int) -> HttpResponse:
    question = get_object_or_404(Question.objects.published(), pk=pk)
    if question.closed:
        return redirect("polls:results", pk)
    chosen = request.POST.get("choice", "")
    # The database adds, in one statement: two votes at the same time both count.
    counted = chosen.isdecimal() and question.choices.filter(pk=chosen).update(votes=F("votes") + 1)
    if not counted:
        context = {"question": question, "error": "Pick one of the answers first."}
        return render(request, "polls/detail.html", context, status=422)
    # Answering with a redirect keeps a reload of the page from voting again.
    return redirect("polls:results", pk)


@require_safe
@never_cache
def results(request: HttpRequest, pk: int) -> HttpResponse:
    question = get_object_or_404(Question.objects.published().with_total(), pk=pk)
    total = question.total or 1
    rows = [
        {"text": choice.text, "votes": choice.votes, "percent": round(100 * choice.votes / total)}
        for choice in question.choices.order_by("-votes", "pk")
    ]
    return render(request, "polls/results.html", {"question": question, "rows": rows})
