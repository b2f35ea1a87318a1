"""No Kibana: it says a version and takes saved objects, and no more."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Kibana(BaseHTTPRequestHandler):
    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        known = self.path == "/api/status"
        self.answer(200 if known else 404, {"version": {"number": "8.19.0"}} if known else {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        objects = [json.loads(line) for line in body.splitlines() if line.startswith(b"{")]
        fits = self.path == "/api/saved_objects/_import" and "kbn-xsrf" in self.headers and objects
        self.answer(200 if fits else 400, {"success": bool(fits), "successCount": len(objects)})

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("", 5601), Kibana).serve_forever()
