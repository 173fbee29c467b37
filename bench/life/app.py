"""A site for benchmarks and tests: slow to import, on demand; it answers with the release that it was imported as."""

import os
import time

RELEASE = 1

time.sleep(float(os.environ.get("LIFE_IMPORT_S", "0.8")))
BEGAN = time.time()


def application(environ, start_response):
    """`/20` takes 20 ms, `/1000` a second.

    `/wedge` keeps its thread for ever; `/wedge?TIME` only in a process that has begun before.
    """
    path = environ["PATH_INFO"][1:]
    while path == "wedge" and float(environ["QUERY_STRING"] or "inf") > BEGAN:
        time.sleep(60)
    time.sleep(int(path if path.isdigit() else 0) / 1000)
    body = b"%d" % RELEASE
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
