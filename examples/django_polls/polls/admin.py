"""Where questions are written."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from .models import Choice, Question


class ChoiceInline(admin.TabularInline):
    model = Choice
    extra = 2
    # Editors write the choices; only visitors make votes.
    readonly_fields = ["votes"]


@admin.register(Question)
class QuestionAdmin(admin.ModelAdmin):
    fields = ["text", "published_at", "closed"]
    inlines = [ChoiceInline]
    list_display = ["text", "published_at", "total", "closed"]
    list_filter = ["closed", "published_at"]
    date_hierarchy = "published_at"
    search_fields = ["text", "choices__text"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Question]:
        return super().get_queryset(request).with_total()

    @admin.display(description="votes", ordering="total")
    def total(self, question: Question) -> int:
        return question.total
