"""A scripted Elasticsearch: takes bulk requests as strictly as the real one, keeps documents, and answers as it is told.

    es = ScriptedElastic()
    es.answer_next(Whole(503), times=3)              # the next three bulk requests
    es.on_request = lambda request: Silence() if … else None
    es.on_item = lambda item: Refuse(429, "es_rejected_execution_exception", "full") if … else None

What it stores is es.store: {(index, id): bytes of the document}. `create` of what is there is a 409. What no correct client would
send (bad NDJSON, unknown keys in an action line, two forms of one id) is answered as the real one does, and noted in es.complaints.
"""

import base64
import collections
import gzip
import json
import os
import socket
import ssl
import subprocess
import threading
import time
import zlib

import searching
from strict_json import parse as parse_strictly
from waiting import PATIENCE, wait_until

JSON_TYPE = "application/json"
ACTION_KEYS = {"_index", "_id", "routing", "version", "version_type", "if_seq_no", "if_primary_term", "pipeline", "require_alias",
               "dynamic_templates", "list_executed_pipelines"}


# ---- what an answer may be ----

class Whole:
    """An answer to the whole request, without looking at its items."""

    def __init__(self, status, body=None, headers=(), content_type=JSON_TYPE, reason="injected", error_type="injected_exception"):
        if body is None:
            body = json.dumps({"error": {"root_cause": [{"type": error_type, "reason": reason}], "type": error_type, "reason": reason},
                               "status": status})
        self.status, self.headers, self.content_type = status, list(headers), content_type
        self.body = body.encode() if isinstance(body, str) else body


class Cut:
    """Indexes, then breaks the connection off after so many bytes of the answer (header and all)."""

    def __init__(self, at_byte, index=True):
        self.at_byte, self.index = at_byte, index


class Silence:
    """Takes the request and never answers; index: stores its documents all the same."""

    def __init__(self, index=False):
        self.index = index


class Close:
    """Closes without an answer."""

    def __init__(self, index=False):
        self.index = index


class Late:
    """Answers rightly, but after so many seconds."""

    def __init__(self, seconds):
        self.seconds = seconds


class Rewritten:
    """Indexes, and answers with what fn makes of the right answer (a dict; or gives back bytes)."""

    def __init__(self, fn, status=200, content_type=JSON_TYPE):
        self.fn, self.status, self.content_type = fn, status, content_type


class Raw:
    """Writes whatever fn(connection, right) does to the connection; right: bytes of the right answer, header and all (index: after
    storing). The connection is closed afterwards, unless keep."""

    def __init__(self, fn, index=False, keep=False):
        self.fn, self.index, self.keep = fn, index, keep


class Refuse:
    """An item's error."""

    def __init__(self, status, error_type, reason, caused_by=None):
        self.status = status
        self.error = {"type": error_type, "reason": reason}
        if caused_by:
            self.error["caused_by"] = caused_by


# ---- what it is asked ----

Item = collections.namedtuple("Item", "action index id document request")


class Request:
    def __init__(self, method, path, headers, body, wire_bytes):
        self.method, self.path, self.headers, self.body, self.wire_bytes = method, path, headers, body, wire_bytes
        self.at = time.monotonic()
        self.items = []
        self.outcome = None
        self.connection = None  # a number for each

    def __repr__(self):
        return f"<{self.method} {self.path} items={len(self.items)} outcome={self.outcome}>"


class _Hangup(Exception):
    pass


class _BadRequest(Exception):
    pass


class _Reader:
    """Bytes of one connection, read strictly as HTTP/1.1."""

    def __init__(self, connection):
        self.connection = connection
        self.buffer = bytearray()

    def _more(self):
        data = self.connection.recv(1 << 18)
        if not data:
            raise _Hangup
        self.buffer += data

    def until(self, mark):
        while True:
            at = self.buffer.find(mark)
            if at >= 0:
                taken = bytes(self.buffer[:at])
                del self.buffer[:at + len(mark)]
                return taken
            if len(self.buffer) > 1 << 20 and mark == b"\r\n\r\n":
                raise _BadRequest("headers too large")
            self._more()

    def exactly(self, n):
        while len(self.buffer) < n:
            self._more()
        taken = bytes(self.buffer[:n])
        del self.buffer[:n]
        return taken

    def body(self, headers):
        if headers.get("transfer-encoding", "").lower() == "chunked":
            if "content-length" in headers:
                raise _BadRequest("both Content-Length and chunked")
            parts = []
            while True:
                size = int(self.until(b"\r\n").split(b";")[0], 16)
                if size == 0:
                    self.until(b"\r\n")
                    return b"".join(parts)
                parts.append(self.exactly(size))
                if self.exactly(2) != b"\r\n":
                    raise _BadRequest("bad chunk")
        return self.exactly(int(headers.get("content-length", "0")))


class ScriptedElastic:
    def __init__(self, port=0, version="8.19.0", max_content_length=100 << 20, basic=None, api_key=None, tls=None):
        self.version, self.max_content_length = version, max_content_length
        self.basic, self.api_key, self.tls = basic, api_key, tls
        self.store = {}
        self.arrived = []        # (index, id) in the order of storing
        self.complaints = []
        self.requests = []       # bulk requests
        self.other_requests = []  # everything else
        self.counts = collections.Counter()  # item statuses
        self.on_request = None
        self.on_item = None
        self.on_other = None
        self.closed_indices = {}  # index: Refuse for every item
        self.searches = []       # bodies of _search
        self.digits_ns = 1000000  # of times when they are searched and sorted: `date`; 1: date_nanos
        self._memo = {}
        self._script = collections.deque()
        self._lock = threading.Lock()
        self._connections = set()
        self._threads = []
        self._held = threading.Event()
        self.port = port
        self.address = "127.0.0.1"
        self._listener = None
        self.start()

    # -- being there, and away --

    def start(self):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.address, self.port))
        listener.listen(128)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._held = threading.Event()
        thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def stop(self):
        """Away: connections are refused, open ones break. What it stored stays; start() brings it back on the same port."""
        listener, self._listener = self._listener, None
        if listener:
            # A listener blocked in accept keeps the port until it is woken.
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()
        self._held.set()
        with self._lock:
            open_now = list(self._connections)
        for connection in open_now:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(10)
        self._threads.clear()

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    # -- script and questions --

    def answer_next(self, answer, times=1):
        """The next bulk requests get this answer; None: the right one."""
        with self._lock:
            self._script.extend([answer] * times)

    def script_done(self):
        return not self._script

    def documents(self, index=None):
        """Stored documents in the order in which they came, parsed."""
        with self._lock:
            keys = list(self.arrived)
        return [json.loads(self.store[k]) for k in keys if index is None or k[0] == index]

    def indices(self):
        with self._lock:
            return collections.Counter(k[0] for k in self.store)

    def wait_for(self, n, deadline_s=20.0):
        """Waits until n documents are stored; more than n is a failure."""
        wait_until(lambda: len(self.store) >= n, deadline_s, lambda: f"{len(self.store)} of {n} documents; {self.requests[-3:]}")
        assert len(self.store) == n, f"{len(self.store)} documents instead of {n}"

    # -- serving --

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection, self._held), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection, held):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._connections.add(connection)
        try:
            if self.tls:
                connection.settimeout(20 * PATIENCE)
                inner = self.tls.server_context().wrap_socket(connection, server_side=True)
                inner.settimeout(None)
                with self._lock:
                    self._connections.discard(connection)
                    self._connections.add(inner)
                connection = inner
            reader = _Reader(connection)
            while self._one_request(reader, connection, held):
                pass
        except (_Hangup, OSError, ssl.SSLError):
            pass
        except _BadRequest as e:
            self.complaints.append(str(e))
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()

    def _one_request(self, reader, connection, held):
        head = reader.until(b"\r\n\r\n").decode("latin-1")
        line, *rest = head.split("\r\n")
        method, path, http = line.split(" ")
        headers = {}
        for text in rest:
            name, _, value = text.partition(":")
            headers[name.strip().lower()] = value.strip()
        if http != "HTTP/1.1":
            self.complaints.append(f"not HTTP/1.1: {line}")
        if "expect" in headers:
            self.complaints.append("Expect: 100-continue")
        if int(headers.get("content-length", "0")) > self.max_content_length and "content-encoding" not in headers:
            request = Request(method, path, headers, reader.body(headers), 0)
            request.outcome = 413
            self.requests.append(request)
            self._send(connection, Whole(413, b"", content_type=None))
            return True
        body = reader.body(headers)
        wire = len(body)
        if headers.get("content-encoding") == "gzip":
            try:
                body = gzip.decompress(body)
            except (OSError, zlib.error, EOFError) as e:
                self.complaints.append(f"bad gzip: {e}")
                self._send(connection, Whole(400, reason="bad gzip"))
                return True
        elif "content-encoding" in headers:
            self.complaints.append("content-encoding " + headers["content-encoding"])
        request = Request(method, path, headers, body, wire)
        if "_bulk" in path.split("?")[0]:
            return self._bulk(request, connection, held)
        self.other_requests.append(request)
        answer = self.on_other(request) if self.on_other else None
        if answer is None:
            answer = self._unauthorized(request) or self._other(request)
        self._send(connection, answer, body_wanted=method != "HEAD")
        return True

    def _other(self, request):
        path = request.path.split("?")[0]
        if path == "/" and request.method in ("GET", "HEAD"):
            return Whole(405)  # as a node without its root module, or a role without `monitor`
        if path.endswith("/_search") and request.method == "POST":
            return self._search(request)
        if path == "/_cluster/health":
            return Whole(200, '{"status":"green"}')
        if request.method in ("PUT", "POST", "DELETE"):
            return Whole(200, '{"acknowledged":true}')
        return Whole(404, error_type="resource_not_found_exception")

    def _search(self, request):
        self.searches.append(json.loads(request.body))
        with self._lock:
            store = dict(self.store)
        try:
            return Whole(200, searching.search(store, request.path, request.body, self.digits_ns, self._memo))
        except searching.Refused as e:
            if e.status == 400:
                self.complaints.append(f"{request.path}: {e.reason}")
            return Whole(e.status, error_type=e.error_type, reason=e.reason)

    def _unauthorized(self, request):
        if not self.basic and not self.api_key:
            return None
        wanted = []
        if self.basic:
            wanted.append("Basic " + base64.b64encode(":".join(self.basic).encode()).decode())
        if self.api_key:
            wanted.append("ApiKey " + self.api_key)
        if request.headers.get("authorization") in wanted:
            return None
        return Whole(401, error_type="security_exception", reason="unable to authenticate",
                     headers=[("WWW-Authenticate", 'Basic realm="security"')])

    def _bulk(self, request, connection, held):
        request.connection = connection.fileno(), id(connection)
        self.requests.append(request)
        with self._lock:
            answer = self._script.popleft() if self._script else None
        problem = None
        if answer is None and len(request.body) > self.max_content_length:
            answer = Whole(413, b"", content_type=None)
        try:
            request.items = self._items(request)
        except _BadRequest as e:
            problem = str(e)
            self.complaints.append(problem)
        if answer is None:
            answer = self._unauthorized(request)
        if answer is None and self.on_request:
            answer = self.on_request(request)
        if answer is None and problem:
            answer = Whole(400, error_type="illegal_argument_exception", reason=problem)
        if answer is None and request.headers.get("content-type", "").split(";")[0] not in ("application/x-ndjson", JSON_TYPE):
            answer = Whole(406, '{"error":"Content-Type header [] is not supported","status":406}')
            self.complaints.append("content-type " + request.headers.get("content-type", "none"))
        request.outcome = type(answer).__name__ if answer is not None else "right"
        if isinstance(answer, Whole):
            request.outcome = answer.status
            self._send(connection, answer)
            return True
        if isinstance(answer, Late):
            held.wait(answer.seconds)
        if isinstance(answer, (Silence, Close, Cut, Raw)) and not answer.index:
            right = None
        else:
            right = self._index(request)
        if isinstance(answer, Silence):
            held.wait()
            raise _Hangup
        if isinstance(answer, Close):
            raise _Hangup
        if isinstance(answer, Rewritten):
            made = answer.fn(right)
            self._send(connection, Whole(answer.status, made if isinstance(made, (bytes, str)) else json.dumps(made),
                                         content_type=answer.content_type))
            return True
        data = self._bytes(Whole(200, json.dumps(right or {}, separators=(",", ":"))))
        if isinstance(answer, Raw):
            answer.fn(connection, data)
            if answer.keep:
                return True
            raise _Hangup
        if isinstance(answer, Cut):
            connection.sendall(data[:answer.at_byte])
            raise _Hangup
        connection.sendall(data)
        return True

    def _items(self, request):
        body = request.body
        if not body:
            raise _BadRequest("request body is required")
        if not body.endswith(b"\n"):
            raise _BadRequest("The bulk request must be terminated by a newline [\\n]")
        lines = body.split(b"\n")
        lines.pop()
        if len(lines) % 2:
            raise _BadRequest("odd number of lines")
        items = []
        for n in range(0, len(lines), 2):
            try:
                action = parse_strictly(lines[n])
            except ValueError as e:
                raise _BadRequest(f"Malformed action/metadata line [{n + 1}]: {e}") from e
            if len(action) != 1:
                raise _BadRequest(f"Malformed action/metadata line [{n + 1}]")
            (kind, options), = action.items()
            if kind not in ("create", "index"):
                raise _BadRequest(f"Unknown action [{kind}]")
            for key in options:
                if key not in ACTION_KEYS:
                    raise _BadRequest(f"Action/metadata line [{n + 1}] contains an unknown parameter [{key}]")
            index = options.get("_index")
            if index is None:
                parts = request.path.split("?")[0].strip("/").split("/")
                index = parts[0] if len(parts) == 2 else None
            if index is None:
                raise _BadRequest("index is missing")
            if len(options.get("_id", "").encode()) > 512:
                raise _BadRequest("id is too long")
            items.append(Item(kind, index, options.get("_id"), lines[n + 1], request))
        return items

    def _index(self, request):
        answers = []
        failed = False
        with self._lock:
            for item in request.items:
                answer = self._index_one(item)
                failed = failed or answer["status"] >= 300
                self.counts[answer["status"]] += 1
                answers.append({item.action: answer})
        return {"errors": failed, "took": 3, "items": answers}

    def _index_one(self, item):
        right = {"_index": item.index, "_id": item.id}

        def refuse(refusal):
            return {**right, "status": refusal.status, "error": refusal.error}

        refusal = self.closed_indices.get(item.index)
        if refusal is None and self.on_item:
            refusal = self.on_item(item)
        if refusal is not None:
            return refuse(refusal)
        if item.index != item.index.lower() or any(c in item.index for c in ' "*\\<|,>/?#:') or item.index[:1] in "-_+":
            self.complaints.append(f"index name {item.index!r}")
            return refuse(Refuse(400, "invalid_index_name_exception", f"Invalid index name [{item.index}]"))
        try:
            document = parse_strictly(item.document)
            if not isinstance(document, dict):
                raise ValueError("no object")
            if any(k in document for k in ("_id", "_index", "_source", "_type", "_routing")):
                raise ValueError("metadata field inside the document")
        except (ValueError, RecursionError) as e:
            self.complaints.append(f"document {item.document[:200]!r}: {e}")
            return refuse(Refuse(400, "document_parsing_exception", f"[1:1] {e}"))
        key = (item.index, item.id)
        if item.id is None:
            self.complaints.append("document without _id")
            key = (item.index, base64.urlsafe_b64encode(os.urandom(15)).decode())
        if key in self.store and item.action == "create":
            if self.store[key] != item.document and b'"barge":{"refused"' not in item.document + self.store[key]:
                self.complaints.append(f"two documents under one id {key}:\n  {self.store[key][:400]!r}\n  {item.document[:400]!r}")
            return refuse(Refuse(409, "version_conflict_engine_exception",
                                 f"[{item.id}]: version conflict, document already exists (current version [1])"))
        if item.action != "create":
            self.complaints.append("sent with " + item.action)
        self.store[key] = item.document
        self.arrived.append(key)
        return {**right, "_version": 1, "result": "created", "_shards": {"total": 2, "successful": 1, "failed": 0},
                "_seq_no": len(self.arrived), "_primary_term": 1, "status": 201}

    def _bytes(self, answer, body_wanted=True):
        lines = [f"HTTP/1.1 {answer.status} X"]
        if answer.content_type:
            lines.append("content-type: " + answer.content_type)
        lines.append("X-elastic-product: Elasticsearch")
        lines += [f"{k}: {v}" for k, v in answer.headers]
        lines.append(f"content-length: {len(answer.body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + (answer.body if body_wanted else b"")

    def _send(self, connection, answer, body_wanted=True):
        connection.sendall(self._bytes(answer, body_wanted))


class TestAuthority:
    """A private CA, and certificates of it for 127.0.0.1 and localhost (openssl)."""

    __test__ = False

    def __init__(self, folder):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.ca_file = self._at("ca.pem")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                      "-subj", "/CN=barge test CA", "-keyout", self._at("ca.key"), "-out", self.ca_file)
        self.cert_file, self.key_file = self.issue("node", "IP:127.0.0.1,DNS:localhost")

    def _at(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    def issue(self, name, alternatives):
        key, request, certificate = self._at(name + ".key"), self._at(name + ".csr"), self._at(name + ".pem")
        extensions = self._at(name + ".ext")
        with open(extensions, "w", encoding="utf-8") as f:
            f.write(f"subjectAltName={alternatives}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                      "-keyout", key, "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca_file, "-CAkey", self._at("ca.key"), "-CAcreateserial",
                      "-days", "2", "-extfile", extensions, "-out", certificate)
        return certificate, key

    def issue_expired(self, name, alternatives):
        """A certificate whose time was over yesterday."""
        certificate, key = self.issue(name, alternatives)
        folder = self._at("ca")
        os.makedirs(folder, exist_ok=True)
        for file, text in (("index", ""), ("serial", "77"), ("cnf", f"[ca]\ndefault_ca=x\n[x]\nnew_certs_dir={folder}\ndatabase={folder}/index\n"
                                                                   f"serial={folder}/serial\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")):
            with open(os.path.join(folder, file), "w", encoding="ascii") as f:
                f.write(text)
        self._openssl("ca", "-batch", "-config", os.path.join(folder, "cnf"), "-cert", self.ca_file, "-keyfile", self._at("ca.key"),
                      "-in", self._at(name + ".csr"), "-out", certificate, "-startdate", "20200101000000Z", "-enddate", "20200201000000Z",
                      "-extfile", self._at(name + ".ext"), "-notext")
        return certificate, key

    def server_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert_file, self.key_file)
        return context
