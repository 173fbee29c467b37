"""What visitors see. Run with `python -m unittest`."""

# ruff: noqa: PT009, PT027 - unittest rewrites no asserts; its methods say what differed.

import importlib
import os
import sys
import unittest
from unittest.mock import patch

from hello import SETTINGS_VARIABLE, create_app


class PageTests(unittest.TestCase):
    def setUp(self):
        self.client = create_app("config.dev").test_client()

    def test_greets_a_stranger(self):
        self.assertIn("Hello, stranger!", self.client.get("/").text)

    def test_remembers_a_name(self):
        self.assertEqual(self.client.post("/", data={"name": " Ada "}).status_code, 302)
        self.assertIn("Hello, Ada!", self.client.get("/").text)

    def test_forgets_a_name(self):
        self.client.post("/", data={"name": "Ada"})
        self.client.post("/", data={"name": ""})
        self.assertIn("stranger", self.client.get("/").text)

    def test_a_name_is_text_and_not_markup(self):
        self.client.post("/", data={"name": "<b>Ada</b>"})
        self.assertNotIn("<b>", self.client.get("/").text)

    def test_serves_the_style_sheet(self):
        with self.client.get("/static/style.css") as response:
            self.assertEqual(response.mimetype, "text/css")


class SettingsTests(unittest.TestCase):
    def setUp(self):
        # A module with settings reads the environment once; here it shall do so in every test.
        sys.modules.pop("config.prod", None)

    def test_the_environment_names_the_settings(self):
        environ = {SETTINGS_VARIABLE: "config.prod", "HELLO_SECRET_KEY": "k"}
        with patch.dict(os.environ, environ):
            client = create_app().test_client()
        self.assertEqual(client.get("/whoami/").json["stage"], "Production")

    def test_no_key_is_refused_by_name(self):
        with patch.dict(os.environ, clear=True), self.assertRaisesRegex(RuntimeError, "HELLO_SECRET_KEY"):
            importlib.import_module("config.prod")


if __name__ == "__main__":
    unittest.main()
