"""Which view answers which address."""

from django.contrib import admin
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import include, path
from django.views.generic import RedirectView

from . import probes

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="polls:index")),
    path("polls/", include("polls.urls")),
    path("admin/", admin.site.urls),
    path("whoami/", probes.whoami),
    path("slow/<int:ms>/", probes.slow),
]

# Only runserver serves static files by itself. With DEBUG on, these patterns do the same on any other
# server; with DEBUG off the list is empty, and the web server in front serves STATIC_ROOT.
urlpatterns += staticfiles_urlpatterns()
