"""Two questions, so that a fresh database has something to show."""

from datetime import UTC, datetime

from django.db import migrations

QUESTIONS = {
    "How do you start a new project?": (
        datetime(2025, 9, 1, 8, 0, tzinfo=UTC),
        ("With a test", "With a sketch on paper", "With a name", "By copying the last one"),
    ),
    "Which hour of the day suits you best?": (
        datetime(2025, 9, 2, 8, 0, tzinfo=UTC),
        ("Before breakfast", "Late morning", "The afternoon", "After midnight"),
    ),
}


def write(apps, _schema_editor):
    Question = apps.get_model("polls", "Question")
    Choice = apps.get_model("polls", "Choice")
    for text, (published_at, choices) in QUESTIONS.items():
        question = Question.objects.create(text=text, published_at=published_at)
        Choice.objects.bulk_create(Choice(question=question, text=choice) for choice in choices)


def remove(apps, _schema_editor):
    apps.get_model("polls", "Question").objects.filter(text__in=QUESTIONS).delete()


class Migration(migrations.Migration):
    dependencies = [("polls", "0001_initial")]
    operations = [migrations.RunPython(write, remove)]
