"""A question, and the choices one can vote for."""

from django.db import models
from django.db.models import OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone


class QuestionQuerySet(models.QuerySet["Question"]):
    def published(self) -> "QuestionQuerySet":
        """Leave out what is to appear later."""
        return self.filter(published_at__lte=timezone.now())

    def with_total(self) -> "QuestionQuerySet":
        """Give each question `total`: its votes, all choices taken together."""
        # A subquery: a join would drop the model's ordering (Django 5.2 groups without it), and a search
        # over choices would multiply the rows that are summed.
        votes = Choice.objects.filter(question=OuterRef("pk")).order_by().values("question")
        totals = votes.annotate(total=Sum("votes")).values("total")
        return self.annotate(total=Coalesce(Subquery(totals), 0))


class Question(models.Model):
    text = models.CharField(max_length=200)
    published_at = models.DateTimeField(default=timezone.now, db_index=True)
    closed = models.BooleanField(default=False, help_text="A closed question only shows its results.")

    objects = QuestionQuerySet.as_manager()

    class Meta:
        ordering = ["-published_at", "-pk"]

    def __str__(self) -> str:
        return self.text

    def get_absolute_url(self) -> str:
        return reverse("polls:detail", args=[self.pk])


class Choice(models.Model):
    question = models.ForeignKey(Question, on_delete=models.CASCADE, related_name="choices")
    text = models.CharField(max_length=200)
    votes = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["question", "text"], name="one_choice_of_a_text_per_question"),
        ]

    def __str__(self) -> str:
        return self.text
