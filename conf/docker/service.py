"""A service of the compose house: answers every request, logs it as JSON with its request id, and asks the next service."""

import datetime
import json
import os
import signal
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NEXT = os.environ.get("NEXT")


def log(level, message, **more):
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    print(json.dumps({"time": now, "level": level, "msg": message, **more}), flush=True)


class Service(BaseHTTPRequestHandler):
    def do_GET(self):
        request_id = self.headers.get("X-Request-ID", "")
        log("info", "asked for " + self.path, request_id=request_id)
        status = 200
        if NEXT:
            try:
                with urllib.request.urlopen(urllib.request.Request(NEXT, headers={"X-Request-ID": request_id}), timeout=5) as answer:
                    log("info", "the next one answered", request_id=request_id, status=answer.status)
            except OSError as e:
                status = 502
                log("error", "the next one does not answer", request_id=request_id, error=str(e))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


# The first process of a container is ended by SIGTERM only if it says so.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
log("info", "listening")
ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Service).serve_forever()
