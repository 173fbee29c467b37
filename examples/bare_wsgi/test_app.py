"""What the application and its middleware answer. Run with `python -m unittest`."""

# ruff: noqa: PT009 - unittest rewrites no asserts; its methods say what differed.

import json
import unittest
from pathlib import Path
from wsgiref.types import WSGIApplication
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from app import application
from helloworld.wsgi import HelloWorldApplication


def request(app: WSGIApplication, path: str, method: str = "GET") -> tuple[str, dict[str, str], bytes]:
    """Status, headers and body, with both sides held to PEP 3333."""
    environ = {"PATH_INFO": path, "SCRIPT_NAME": "", "REQUEST_METHOD": method, "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    head: list[tuple[str, dict[str, str]]] = []

    def start_response(status, headers, _exc_info=None):
        head.append((status, dict(headers)))

    body = validator(app)(environ, start_response)
    try:
        content = b"".join(body)
    finally:
        body.close()
    status, headers = head[-1]
    return status, headers, content


class ApplicationTests(unittest.TestCase):
    def test_shows_a_page(self):
        status, headers, body = request(application, "/")
        self.assertEqual((status, headers["Content-Length"]), ("200 OK", str(len(body))))
        self.assertIn(b"<h1>Bare WSGI</h1>", body)

    def test_tells_what_the_server_said(self):
        self.assertEqual(json.loads(request(application, "/whoami")[2])["url_scheme"], "http")

    def test_shows_its_source(self):
        expected = Path(__file__).with_name("app.py").read_bytes()
        self.assertEqual(request(application, "/source")[2], expected)

    def test_head_has_no_body(self):
        for path in ("/", "/whoami", "/source", "/nowhere"):
            with self.subTest(path):
                self.assertEqual(request(application, path, "HEAD")[2], b"")

    def test_other_paths_and_methods_are_refused(self):
        self.assertEqual(request(application, "/nowhere")[0], "404 Not Found")
        status, headers, _ = request(application, "/", "POST")
        self.assertEqual((status, headers["Allow"]), ("405 Method Not Allowed", "GET, HEAD"))


class MiddlewareTests(unittest.TestCase):
    def test_answers_its_own_path(self):
        status, _, body = request(HelloWorldApplication(application), "/hello")
        self.assertEqual((status, body), ("200 OK", b"Hello, world!\n"))

    def test_leaves_the_rest_to_the_application(self):
        wrapped = HelloWorldApplication(application)
        self.assertEqual(request(wrapped, "/"), request(application, "/"))

    def test_hands_back_the_very_body_so_that_it_is_closed(self):
        body = iter(())
        self.assertIs(HelloWorldApplication(lambda _environ, _start: body)({"PATH_INFO": "/"}, print), body)


if __name__ == "__main__":
    unittest.main()
