"""What every template may show."""

from django.conf import settings
from django.http import HttpRequest


def banner(_request: HttpRequest) -> dict[str, str]:
    """The word that tells one installation from another; empty for none."""
    return {"banner": settings.POLLS_BANNER}
