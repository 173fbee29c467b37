"""What visitors and editors see."""

# ruff: noqa: PT009 - Django's own test runner rewrites no asserts; its methods say what differed.

from datetime import timedelta

from django.contrib.auth import get_user_model
from django.contrib.staticfiles import finders
from django.test import TestCase, override_settings
from django.urls import reverse
from django.utils import timezone

from .models import Question


def ask(text: str, *choices: str, days: int = -1, closed: bool = False) -> Question:
    """A question published so many days from now, with its choices."""
    question = Question.objects.create(text=text, published_at=timezone.now() + timedelta(days=days), closed=closed)
    for choice in choices:
        question.choices.create(text=choice)
    return question


class FreshDatabaseTests(TestCase):
    def test_holds_two_questions_with_four_choices_each(self):
        self.assertEqual([question.choices.count() for question in Question.objects.all()], [4, 4])


class IndexTests(TestCase):
    def test_front_page_leads_to_the_questions(self):
        self.assertRedirects(self.client.get("/"), reverse("polls:index"))

    def test_shows_the_newest_question_first(self):
        older, newer = ask("Older?", days=-2), ask("Newer?", days=-1)
        response = self.client.get(reverse("polls:index"))
        self.assertEqual(list(response.context["questions"])[:2], [newer, older])

    def test_hides_a_question_of_tomorrow(self):
        ask("Tomorrow?", days=1)
        self.assertNotContains(self.client.get(reverse("polls:index")), "Tomorrow?")

    def test_counts_the_votes_of_all_choices(self):
        question = ask("Counted?", "Yes", "No")
        question.choices.update(votes=3)
        self.assertContains(self.client.get(reverse("polls:index")), "6 votes")

    def test_says_so_when_there_is_nothing_to_show(self):
        Question.objects.all().delete()
        self.assertContains(self.client.get(reverse("polls:index")), "No questions yet")

    @override_settings(POLLS_BANNER="Rehearsal")
    def test_shows_the_banner(self):
        self.assertContains(self.client.get(reverse("polls:index")), "Rehearsal")


class DetailTests(TestCase):
    def test_offers_every_choice(self):
        response = self.client.get(ask("Tea?", "Green", "Black").get_absolute_url())
        self.assertContains(response, "Green")
        self.assertContains(response, "Black")

    def test_a_question_of_tomorrow_is_not_found(self):
        question = ask("Tomorrow?", days=1)
        for name in ("detail", "results"):
            with self.subTest(name):
                response = self.client.get(reverse(f"polls:{name}", args=[question.pk]))
                self.assertContains(response, "Nothing here", status_code=404)

    def test_a_closed_question_leads_to_its_results(self):
        question = ask("Over?", "Yes", closed=True)
        response = self.client.get(question.get_absolute_url())
        self.assertRedirects(response, reverse("polls:results", args=[question.pk]))


class VoteTests(TestCase):
    def setUp(self):
        self.question = ask("Tea?", "Green", "Black")
        self.green, self.black = self.question.choices.all()
        self.vote = reverse("polls:vote", args=[self.question.pk])
        self.results = reverse("polls:results", args=[self.question.pk])

    def votes(self) -> list[int]:
        return list(self.question.choices.values_list("votes", flat=True))

    def test_counts_and_leads_to_the_results(self):
        response = self.client.post(self.vote, {"choice": self.green.pk})
        self.assertRedirects(response, self.results)
        self.assertEqual(self.votes(), [1, 0])

    def test_adds_in_the_database(self):
        with self.assertNumQueries(2):
            self.client.post(self.vote, {"choice": self.green.pk})
        self.client.post(self.vote, {"choice": self.green.pk})
        self.assertEqual(self.votes(), [2, 0])

    def test_without_a_choice_asks_again(self):
        for data in ({}, {"choice": ""}, {"choice": "x"}, {"choice": "-1"}):
            with self.subTest(data):
                response = self.client.post(self.vote, data)
                self.assertContains(response, "Pick one of the answers", status_code=422)
        self.assertEqual(self.votes(), [0, 0])

    def test_a_choice_of_another_question_does_not_count(self):
        stranger = ask("Coffee?", "Yes").choices.get()
        response = self.client.post(self.vote, {"choice": stranger.pk})
        self.assertEqual(response.status_code, 422)
        stranger.refresh_from_db()
        self.assertEqual(stranger.votes, 0)

    def test_a_closed_question_takes_no_vote(self):
        Question.objects.filter(pk=self.question.pk).update(closed=True)
        response = self.client.post(self.vote, {"choice": self.green.pk})
        self.assertRedirects(response, self.results)
        self.assertEqual(self.votes(), [0, 0])

    def test_a_link_cannot_vote(self):
        self.assertEqual(self.client.get(self.vote).status_code, 405)

    def test_another_site_cannot_vote(self):
        client = self.client_class(enforce_csrf_checks=True)
        self.assertEqual(client.post(self.vote, {"choice": self.green.pk}).status_code, 403)


class ResultsTests(TestCase):
    def test_shows_shares_with_the_winner_first(self):
        question = ask("Tea?", "Green", "Black")
        question.choices.filter(text="Black").update(votes=3)
        question.choices.filter(text="Green").update(votes=1)
        response = self.client.get(reverse("polls:results", args=[question.pk]))
        shares = [(row["text"], row["percent"]) for row in response.context["rows"]]
        self.assertEqual(shares, [("Black", 75), ("Green", 25)])

    def test_no_votes_are_no_error(self):
        response = self.client.get(reverse("polls:results", args=[ask("Tea?", "Green").pk]))
        self.assertContains(response, "0 votes so far")


class AdminTests(TestCase):
    def setUp(self):
        self.client.force_login(get_user_model().objects.create_superuser("editor"))

    def test_writes_a_question_with_its_choices(self):
        data = {
            "text": "Lunch?",
            "published_at_0": "2025-01-01",
            "published_at_1": "12:00",
            "choices-TOTAL_FORMS": "2",
            "choices-INITIAL_FORMS": "0",
            "choices-0-text": "Soup",
            "choices-1-text": "Bread",
        }
        self.client.post(reverse("admin:polls_question_add"), data)
        question = Question.objects.get(text="Lunch?")
        self.assertEqual([str(choice) for choice in question.choices.all()], ["Soup", "Bread"])

    def test_a_search_that_matches_two_choices_counts_votes_once(self):
        question = ask("Which hue?", "Light blue", "Dark blue")
        question.choices.update(votes=2)
        response = self.client.get(reverse("admin:polls_question_changelist"), {"q": "blue"})
        self.assertEqual([row.total for row in response.context["cl"].result_list], [4])

    def test_wears_its_own_style(self):
        self.assertContains(self.client.get(reverse("admin:index")), "polls/admin.css")


class StaticFilesTests(TestCase):
    def test_every_file_a_page_names_is_found(self):
        for name in ("style.css", "admin.css", "ballot.svg"):
            with self.subTest(name):
                self.assertIsNotNone(finders.find(f"polls/{name}"))
