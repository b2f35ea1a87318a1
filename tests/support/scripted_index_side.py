"""The index side of a scripted node: templates, lifecycle policies, indices, and a Kibana's saved objects, as far as `barge setup` asks.

    side = IndexSide(elastic, version="8.19.0")       # answers what the scripted node gets beside bulk requests
    side.templates["name"] = {...}                     # as they were put
    side.stored(name)                                  # as the node gives them back

What a real node does to what it is given is done here too: settings come back below "index" as texts, in an order of its own.
"""

import email
import email.policy
import json
import re
import urllib.parse

from scripted_elastic import Whole


def _flat(settings, prefix=""):
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flat(value, name + ".")
        else:
            yield name, value


def normalised(settings):
    """Settings as nodes give them back."""
    tree = {}
    for name, value in sorted(_flat(settings), reverse=True):
        if not name.startswith("index."):
            name = "index." + name
        at = tree
        *parts, last = name.split(".")
        for part in parts:
            at = at.setdefault(part, {})
        if isinstance(value, list):
            at[last] = [str(v) for v in value]
        else:
            at[last] = {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    return tree


def reordered(value):
    """Members of all objects the other way round."""
    if isinstance(value, dict):
        return {k: reordered(v) for k, v in reversed(value.items())}
    return [reordered(v) for v in value] if isinstance(value, list) else value


def _error(status, error_type, reason):
    return Whole(status, error_type=error_type, reason=reason)


def _json(value, status=200):
    return Whole(status, json.dumps(value))


class IndexSide:
    """composable: whether it knows _index_template; lacks: texts whose mention in a template it refuses; ilm, ism: whether it has them;
    root: whether GET / is answered; refuse: fn(request) giving an answer before all else, or None."""

    def __init__(self, elastic, version="8.19.0", distribution=None, composable=True, ilm=True, ism=False, root=True, lacks=()):
        self.version, self.distribution, self.composable, self.root = version, distribution, composable, root
        self.ilm, self.ism = ({} if ilm else None), ({} if ism else None)
        self.lacks = list(lacks)
        self.templates, self.legacy = {}, {}
        self.indices = []
        self.deleted = []
        self.figures = []
        self.objects = {}           # Kibana's: (type, id): object
        self.kibana = "8.19.0"
        self.refuse = None
        self.changes = []           # (method, path) of all that changes something
        self.elastic = elastic
        elastic.on_other = self.answer

    def answer(self, request):
        if self.refuse and (answer := self.refuse(request)) is not None:
            return answer
        refused = self.elastic._unauthorized(request)
        if refused:
            return refused
        path, _, query = request.path.partition("?")
        if request.method != "GET":
            self.changes.append((request.method, path))
        for pattern, fn in ((r"/", self._root), (r"/_nodes/_local", self._nodes), (r"/_index_template(?:/(.*))?", self._index_template),
                            (r"/_template(?:/(.*))?", self._template), (r"/_ilm/policy/(.*)", self._ilm),
                            (r"/(_plugins|_opendistro)/_ism/policies/(.*)", self._ism), (r"/api/status", self._kibana_status),
                            (r"/api/saved_objects/_import", self._import), (r"/([^_/][^/]*)/_settings/index.creation_date", self._list),
                            (r"/(barge-figures-[^/]*)/_doc", self._figures), (r"/([^_/][^/]*)", self._delete)):
            found = re.fullmatch(pattern, path)
            if found:
                return fn(request, urllib.parse.parse_qs(query), *found.groups())
        return _error(400, "illegal_argument_exception", f"no handler found for uri [{request.path}] and method [{request.method}]")

    def _root(self, request, query):
        if not self.root:
            return Whole(405)
        version = {"number": self.version}
        if self.distribution:
            version["distribution"] = self.distribution
        return _json({"name": "n", "version": version})

    def _nodes(self, request, query):
        return _json({"nodes": {"abc": {"version": self.version}}})

    # -- templates --

    def _index_template(self, request, query, name):
        if not self.composable:
            return _error(400, "illegal_argument_exception", "no handler found")
        if request.method == "PUT":
            body = json.loads(request.body)
            unknown = set(body) - {"index_patterns", "priority", "version", "_meta", "template", "composed_of"}
            if unknown:
                return _error(400, "x_content_parse_exception", f"unknown field {unknown}")
            for word in self.lacks:
                if word.encode() in request.body:
                    return _error(400, "illegal_argument_exception", f"this node knows no [{word}]")
            for other, t in self.templates.items():
                if other != name and t["priority"] == body["priority"] and set(t["index_patterns"]) & set(body["index_patterns"]):
                    return _error(400, "illegal_argument_exception", "same priority")
            self.templates[name] = body
            return _json({"acknowledged": True})
        if name and name not in self.templates:
            return _error(404, "resource_not_found_exception", f"index template matching [{name}] not found")
        return _json({"index_templates": [{"name": n, "index_template": self.stored(n)} for n in ([name] if name else self.templates)]})

    def stored(self, name):
        body = json.loads(json.dumps(self.templates[name]))
        body.setdefault("composed_of", [])
        template = body["template"]
        template["settings"] = normalised(template.get("settings", {}))
        return reordered(body)

    def _template(self, request, query, name):
        if request.method == "PUT":
            body = json.loads(request.body)
            unknown = set(body) - {"index_patterns", "order", "version", "settings", "mappings", "aliases"}
            if unknown:
                return _error(400, "parse_exception", f"unknown key {unknown} in the template")
            self.legacy[name] = body
            return _json({"acknowledged": True})
        if name and name not in self.legacy:
            return Whole(404, "{}")
        found = {}
        for n in [name] if name else self.legacy:
            found[n] = reordered({**self.legacy[n], "settings": normalised(self.legacy[n].get("settings", {})), "aliases": {}})
        return _json(found)

    # -- retention --

    def _ilm(self, request, query, name):
        if self.ilm is None:
            return _error(400, "illegal_argument_exception", "no handler found for uri")
        if request.method == "PUT":
            self.ilm[name] = json.loads(request.body)["policy"]
            return _json({"acknowledged": True})
        if name not in self.ilm:
            return _error(404, "resource_not_found_exception", f"Lifecycle policy not found: {name}")
        return _json({name: {"version": 1, "modified_date": "2018-11-23T09:00:00.000Z", "policy": self.ilm[name]}})

    def _ism(self, request, query, base, name):
        if self.ism is None or base != "_plugins":
            return _error(400, "illegal_argument_exception", "no handler found for uri")
        if request.method == "PUT":
            if name in self.ism and query.get("if_seq_no") != ["7"]:
                return _error(409, "version_conflict_engine_exception", "already exists")
            self.ism[name] = json.loads(request.body)["policy"]
            return _json({"_id": name}, 201)
        if name not in self.ism:
            return _error(404, "status_exception", "Policy not found")
        policy = json.loads(json.dumps(self.ism[name]))
        policy.update(policy_id=name, last_updated_time=1577990934044, schema_version=1, error_notification=None)
        for state in policy["states"]:
            for action in state["actions"]:
                action["retry"] = {"count": 3, "backoff": "exponential", "delay": "1m"}
        for template in policy["ism_template"]:
            template["last_updated_time"] = 1577990934044
        return _json({"_id": name, "_version": 1, "_primary_term": 1, "_seq_no": 7, "policy": policy})

    # -- indices --

    def _list(self, request, query, pattern):
        wanted = re.compile(re.escape(urllib.parse.unquote(pattern)).replace(r"\*", ".*"))
        return _json({n: {"settings": {"index": {"creation_date": "1"}}} for n in self.indices if wanted.fullmatch(n)})

    def _delete(self, request, query, name):
        name = urllib.parse.unquote(name)
        if request.method != "DELETE":
            return _error(405, "x", "x")
        if "*" in name or "," in name:
            self.elastic.complaints.append(f"deletes by wildcard: {name}")
        if name not in self.indices:
            return _error(404, "index_not_found_exception", f"no such index [{name}]")
        self.indices.remove(name)
        self.deleted.append(name)
        return _json({"acknowledged": True})

    def _figures(self, request, query, index):
        self.figures.append((index, json.loads(request.body)))
        return _json({"result": "created"}, 201)

    # -- Kibana --

    def _kibana_status(self, request, query):
        return _json({"name": "k", "version": {"number": self.kibana}})

    def _import(self, request, query):
        if "kbn-xsrf" not in request.headers or "osd-xsrf" not in request.headers:
            return Whole(400, '{"statusCode":400,"error":"Bad Request","message":"Request must contain a kbn-xsrf header."}')
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        parts = list(email.message_from_bytes(head + request.body, policy=email.policy.HTTP).iter_parts())
        assert len(parts) == 1 and parts[0].get_param("name", header="content-disposition") == "file"
        assert parts[0].get_filename().endswith(".ndjson")
        taken, errors = [], []
        for line in parts[0].get_payload(decode=True).decode().splitlines():
            one = json.loads(line)
            key = one["type"], one["id"]
            if key in self.objects and query.get("overwrite") != ["true"]:
                errors.append({"type": key[0], "id": key[1], "error": {"type": "conflict"}})
            else:
                taken.append((key, one))
        if not errors or taken:
            self.objects.update(taken)
        return _json({"success": not errors, "successCount": len(taken), **({"errors": errors} if errors else {})})
