"""What a document must be, given the text that a container wrote."""

import json

from strict_json import parse


def as_object(text):
    """The object that a message is, or None."""
    if not text.lstrip(" \t\r\n").startswith("{"):
        return None
    try:
        value = parse(text.strip(" \t\r\n").encode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def without_line_end(text):
    return text[:-1] if text.endswith("\r") else text


def leaves(value):
    """All scalars below value, as JSON text."""
    if isinstance(value, dict):
        for v in value.values():
            yield from leaves(v)
    elif isinstance(value, list):
        for v in value:
            yield from leaves(v)
    else:
        yield json.dumps(value)


def holds_all_of(document, members):
    """Each scalar of a merged message stands somewhere in the document, with the value that it had; what became the level or
    the timestamp may have changed its form. Empty and null ones may be left out."""
    present = set(leaves(document))
    free = {"level", "severity", "log.level", "time", "ts", "timestamp", "@timestamp", "datetime"}
    for key, value in members.items():
        if key in free:
            continue
        for leaf in leaves(value):
            if leaf not in present and leaf not in ('""', "null"):
                return f"{key}={leaf} of the message is not in the document"
    return None


def check_document(document, text, ended=True, **more):
    """document is what text must become. more: members (dotted) that it must have. ended: a line end may still be there."""
    members = as_object(text)
    if members is None:
        assert document["message"] == (without_line_end(text) if ended else text)
    else:
        wrong = holds_all_of(document, members)
        assert wrong is None, f"{wrong}: {document}"
    for name, value in more.items():
        assert value_at(document, name) == value, f"{name} of {document}"


def value_at(document, dotted):
    """document["a"]["b"] for "a.b"; None when it is not there."""
    for part in dotted.split("."):
        if not isinstance(document, dict) or part not in document:
            return None
        document = document[part]
    return document


def index_of(timestamp, prefix="microservices-"):
    return prefix + timestamp[:10].replace("-", ".")
