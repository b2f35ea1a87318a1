"""JSON read as strictly as Elasticsearch reads it: no key twice, no NaN, valid UTF-8, numbers that it can hold."""

import json

INT_MIN, INT_MAX = -(1 << 63), (1 << 64) - 1


class NotAcceptable(ValueError):
    pass


def _members(pairs):
    made = dict(pairs)
    if len(made) != len(pairs):
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise NotAcceptable(f"Duplicate field '{key}'")
            seen.add(key)
    return made


def _int(text):
    value = int(text)
    if not INT_MIN <= value <= INT_MAX:
        raise NotAcceptable(f"number out of range: {text[:40]}")
    return value


def _float(text):
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise NotAcceptable(f"number out of range: {text[:40]}")
    return value


def _constant(text):
    raise NotAcceptable(f"no JSON number: {text}")


_decoder = json.JSONDecoder(object_pairs_hook=_members, parse_int=_int, parse_float=_float, parse_constant=_constant)


def parse(data):
    """bytes to a value. Raises ValueError (NotAcceptable is one)."""
    if len(data) > 0 and data[:1] not in (b"{", b"["):
        raise NotAcceptable("neither an object nor an array")
    return _decoder.decode(data.decode("utf-8"))
