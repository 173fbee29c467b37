"""How the site is put together."""

# ruff: noqa: PT009 - Django's own test runner rewrites no asserts; its methods say what differed.

import importlib
import os
import sys
from types import ModuleType
from unittest.mock import patch

from django.core.exceptions import ImproperlyConfigured
from django.test import SimpleTestCase


def production(**environ: str) -> ModuleType:
    """The production settings as a process with this environment would see them."""
    with patch.dict(os.environ, environ, clear=True), patch.dict(sys.modules):
        for name in ("mysite.settings.base", "mysite.settings.prod"):
            sys.modules.pop(name, None)
        return importlib.import_module("mysite.settings.prod")


class ProductionSettingsTests(SimpleTestCase):
    def test_no_key_is_refused_by_name(self):
        for environ in ({}, {"DJANGO_SECRET_KEY": ""}):
            with self.subTest(environ), self.assertRaisesMessage(ImproperlyConfigured, "DJANGO_SECRET_KEY"):
                production(**environ)

    def test_what_is_unset_has_a_default(self):
        settings = production(DJANGO_SECRET_KEY="k")
        self.assertFalse(settings.DEBUG)
        self.assertEqual(settings.ALLOWED_HOSTS, ["localhost", "127.0.0.1"])
        self.assertEqual(settings.DATABASES["default"]["NAME"], settings.BASE_DIR / "db.sqlite3")
        self.assertFalse(settings.SECURE_SSL_REDIRECT)

    def test_the_environment_is_heard(self):
        settings = production(
            DJANGO_SECRET_KEY="k",
            DJANGO_ALLOWED_HOSTS="polls.example, www.polls.example",
            DJANGO_DATABASE="/srv/polls.sqlite3",
            DJANGO_HTTPS="1",
        )
        self.assertEqual(settings.ALLOWED_HOSTS, ["polls.example", "www.polls.example"])
        self.assertEqual(settings.DATABASES["default"]["NAME"], "/srv/polls.sqlite3")
        self.assertTrue(settings.SECURE_SSL_REDIRECT and settings.CSRF_COOKIE_SECURE)


class ProbeTests(SimpleTestCase):
    def test_whoami_tells_what_it_promises_and_no_more(self):
        said = self.client.get("/whoami/", REMOTE_ADDR="192.0.2.7", SERVER_SOFTWARE="test/1").json()
        self.assertEqual(
            said,
            {
                "settings": os.environ["DJANGO_SETTINGS_MODULE"],
                "debug": False,  # The test runner turns it off.
                "url_scheme": "http",
                "remote_addr": "192.0.2.7",
                "server_software": "test/1",
                "pid": os.getpid(),
            },
        )

    def test_slow_sleeps_as_long_as_asked(self):
        with patch("mysite.probes.time.sleep") as sleep:
            self.assertContains(self.client.get("/slow/250/"), "250 ms")
        sleep.assert_called_once_with(0.25)

    def test_slow_has_a_limit(self):
        with patch("mysite.probes.time.sleep") as sleep:
            self.client.get("/slow/99999999/")
        sleep.assert_called_once_with(10)
