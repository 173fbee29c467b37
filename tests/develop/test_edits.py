"""A law: after any edit the development loop answers what a cold start would have answered."""

import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from launcher.testing.serving import clean_environment, wait_for
from tests.develop.site import Site

pytestmark = pytest.mark.live

EDITS = int(os.environ.get("LAUNCHER_TEST_EDITS", "20"))
"""How many edits each sequence makes; 200 were made when the figures of docs/benchmarks.md were."""

SETTINGS = """
from conf_base import *

SECRET_KEY = "of the tests"
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shop"]
DATABASES = {}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
USE_TZ = True
TIME_ZONE = "UTC"
WSGI_APPLICATION = "wsgi.application"
"""
WSGI = """
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
"""
URLS = """
from django.urls import path
from shop import views

urlpatterns = [path("", views.show)]
"""
VIEWS = """
import json
import sys

from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.template.loader import render_to_string

from . import models
from .parts import value

EXTRA = 0


def show(request):
    found = {
        "value": value(),
        "extra": EXTRA,
        "setting": settings.COLOUR,
        "fields": [field.name for field in models.Item._meta.get_fields()],
        "user": str(get_user_model()._meta),
        "modules": sorted(name for name in sys.modules if name.partition(".")[0] in ("shop", "urls", "conf_base")),
        "template": render_to_string("shop/page.html"),
    }
    return HttpResponse(json.dumps(found))
"""
MODELS = """
from django.db import models


class Item(models.Model):
    name = models.CharField(max_length=10)
"""
COLD = """
import os, sys
sys.path.insert(0, os.getcwd())
os.environ["DJANGO_SETTINGS_MODULE"] = "conf"
from wsgi import application
import urls
from django.test import RequestFactory
from django.core.handlers.wsgi import WSGIHandler
print(application.get_response(RequestFactory().get("/")).content.decode())
"""


class Project:
    """A Django project whose parts import each other at random, and edits of it."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.random = random.Random(seed)
        self.parts: dict[str, int] = {"a": 0, "b": 0, "c": 0}
        self.edges: set[tuple[str, str]] = {("a", "b"), ("b", "c")}
        self.package = "parts"
        self.number = 0
        self.files = {
            "conf.py": SETTINGS,
            "conf_base.py": 'COLOUR = "red"\n',
            "wsgi.py": WSGI,
            "urls.py": URLS,
            "shop/__init__.py": "",
            "shop/views.py": VIEWS,
            "shop/models.py": MODELS,
            "shop/templates/shop/page.html": "page 0",
        }
        self.files |= {f"shop/parts/{name}.py": self.part(name) for name in self.parts}
        self.files["shop/parts/__init__.py"] = self.entry()

    def part(self, name: str) -> str:
        needs = [other for one, other in sorted(self.edges) if one == name and other in self.parts]
        lines = [f"from . import {other}" for other in needs]
        return "\n".join([*lines, f"NUMBER = {self.parts[name]}", f"NEEDS = {needs}", ""])

    def entry(self) -> str:
        names = ", ".join(sorted(self.parts))
        return f"from . import {names}\n\n\ndef value():\n    return [(m.__name__, m.NUMBER, m.NEEDS) for m in ({names},)]\n"

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.random.random() < 0.5:
            path.write_text(text)
        else:
            scratch = path.with_name(f".{path.name}.swp")
            scratch.write_text(text)
            scratch.replace(path)

    def write_parts(self) -> None:
        for name in sorted(self.parts, key=lambda name: self.random.random()):
            self.write(f"shop/parts/{name}.py", self.part(name))
        self.write("shop/parts/__init__.py", self.entry())

    def edit(self) -> str:
        """Make one edit and return what it was."""
        self.number += 1
        kinds = "number number edge add remove setting field template view break quick move"
        kind = self.random.choice(kinds.split())
        getattr(self, f"edit_{kind}")()
        return f"{self.number}: {kind}"

    def edit_number(self) -> None:
        name = self.random.choice(sorted(self.parts))
        self.parts[name] = self.random.randrange(10)
        self.write(f"shop/parts/{name}.py", self.part(name))

    def edit_quick(self) -> None:
        name = self.random.choice(sorted(self.parts))
        for _ in range(3):
            self.parts[name] = self.random.randrange(10)
            self.write(f"shop/parts/{name}.py", self.part(name))

    def edit_edge(self) -> None:
        # Later names need earlier ones only: circles are another kind of error.
        one, other = sorted(self.random.sample(sorted(self.parts), 2))
        self.edges ^= {(one, other)}
        self.write(f"shop/parts/{one}.py", self.part(one))

    def edit_add(self) -> None:
        name = f"n{self.number}"
        self.parts[name] = self.number
        self.edges.add(("a", name))
        self.write_parts()

    def edit_remove(self) -> None:
        names = sorted(self.parts.keys() - {"a", "b", "c"})
        if names:
            name = self.random.choice(names)
            del self.parts[name]
            self.write_parts()
            (self.root / "shop" / "parts" / f"{name}.py").unlink()

    def edit_setting(self) -> None:
        self.write("conf_base.py", f'COLOUR = "{self.random.choice(["red", "sky", "tan"])}"\n')

    def edit_field(self) -> None:
        self.write("shop/models.py", MODELS + f"    field{self.random.randrange(5)} = models.IntegerField()\n")

    def edit_template(self) -> None:
        self.write("shop/templates/shop/page.html", f"page {self.random.randrange(10)}")

    def edit_view(self) -> None:
        self.write("shop/views.py", VIEWS.replace("EXTRA = 0", f"EXTRA = {self.random.randrange(10)}"))

    def edit_break(self) -> None:
        self.write("shop/views.py", VIEWS + self.random.choice(["x = (\n", "import nowhere\n", "1 / 0\n"]))

    def edit_move(self) -> None:
        """Move the package away, and one like it to its place."""
        (self.root / "shop" / "parts").rename(self.root / "shop" / f"old{self.number}")
        self.parts = dict.fromkeys(self.parts, self.number)
        self.write_parts()

    def cold(self) -> str | None:
        """Return what a cold start answers; None where it fails."""
        with tempfile.TemporaryDirectory() as directory:
            copy = Path(directory) / "copy"
            shutil.copytree(self.root, copy, ignore=shutil.ignore_patterns("__pycache__", "run"))
            words = [sys.executable, "-c", COLD]
            done = subprocess.run(words, cwd=copy, env=clean_environment(), capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2])
def test_edits_give_what_a_cold_start_gives(seed: int, tmp_path: Path) -> None:
    project = Project(tmp_path, seed)
    with Site(tmp_path, files=project.files, app=None, settings="conf") as site:
        history = []
        for _ in range(EDITS):
            history.append(project.edit())
            wanted = project.cold()

            def agrees(wanted: str | None = wanted) -> bool:
                answer = site.request("/")
                return answer.status == 500 if wanted is None else answer.body.decode() == wanted

            try:
                wait_for(agrees, "the same answer")
            except AssertionError:
                raise AssertionError(f"{history[-5:]}\n{wanted}\n{site.now()}\n{site.output[-3000:]}") from None
        assert "reloaded in" in site.output
