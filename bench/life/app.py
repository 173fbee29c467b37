"""What bench/lifecycle.py serves: slow to import, on demand, and it answers with the release that it was imported as."""

import os
import time

RELEASE = 1

time.sleep(float(os.environ.get("LIFE_IMPORT_S", "0.8")))


def application(environ, start_response):
    """`/20` takes 20 ms, `/1000` a second, `/wedge` keeps its thread for ever."""
    path = environ["PATH_INFO"][1:]
    while path == "wedge":
        time.sleep(60)
    time.sleep(int(path or 0) / 1000)
    body = b"%d" % RELEASE
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
