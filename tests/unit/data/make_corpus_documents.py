#!/usr/bin/env python3
"""Writes corpus_documents.jsonl: for records of the corpus the documents that the contract wants, worked out without barge.
Run from the top of the repository: python3 tests/unit/data/make_corpus_documents.py > tests/unit/data/corpus_documents.jsonl
It knows only the names that occur in these records."""
import glob, json, re

CASES = ['nginx/gateway', 'nginx/orders', 'nginx/users'] + \
        ['docker26/json-file/' + c for c in ('app-json', 'attrs', 'attrs-regex', 'tty', 'java', 'pytrace', 'gopanic',
                                             'unicode', 'control', 'badutf8', 'plain', 'nonl')]
LEVELS = {'info': 'info', 'warn': 'warn', 'error': 'error', 'debug': 'debug', 'WARN': 'warn', 'fatal': 'fatal', 'trace': 'trace'}
PINO = {'10': 'trace', '20': 'debug', '30': 'info', '40': 'warn', '50': 'error', '60': 'fatal'}
IDS = ('request_id', 'reqId')
TEXT_ID = re.compile(r'(?<![A-Za-z0-9_-])(?:request_id|requestId|X-Request-ID)["\']?\s*[=:]\s*(["\']?)([A-Za-z0-9][A-Za-z0-9_:@/+~|.-]*)')


class Number(str):
    """A number as it was written."""


def dump(v):
    if isinstance(v, Number):
        return str(v)
    if isinstance(v, dict):
        return '{' + ','.join(json.dumps(k, ensure_ascii=False) + ':' + dump(x) for k, x in v.items()) + '}'
    if isinstance(v, list):
        return '[' + ','.join(map(dump, v)) + ']'
    return json.dumps(v, ensure_ascii=False)


def put(doc, path, value):
    *above, leaf = path.split('.')
    for name in above:
        doc = doc.setdefault(name, {})
    doc[leaf] = value


def members(text):
    if not text.lstrip(' \t').startswith('{'):
        return None
    try:
        v = json.loads(text, parse_int=Number, parse_float=Number)
    except ValueError:
        return None
    return v if isinstance(v, dict) else None


def document(record, offset):
    text = record['log']
    text = text[:-1] if text.endswith('\n') else text
    text = text[:-1] if text.endswith('\r') else text
    doc = {'@timestamp': record['time'], 'host': {'name': 'h'}, 'event': {'sequence': Number(offset)},
           'stream': record['stream']}
    for k, v in record.get('attrs', {}).items():
        put(doc, 'container', doc.get('container', {'labels': {}}))
        doc['container']['labels'][re.sub('[./]', '_', k)] = v
    m = members(text)
    if m is None:
        doc['message'] = text
        found = TEXT_ID.search(text)
        if found and (not found.group(1) or text[found.end():].startswith(found.group(1))):
            put(doc, 'http.request.id', found.group(2).rstrip('.:/'))
        return doc
    ids = [m[k] for k in IDS if m.get(k)]
    assert len(set(ids)) < 2
    for k, v in m.items():
        if k in ('msg', 'message'):
            doc['message'] = v
        elif k in ('level', 'log.level'):
            put(doc, 'log.level', PINO[v] if isinstance(v, Number) else LEVELS[v])
        elif k in IDS and v:
            put(doc, 'http.request.id', v)
        elif k == 'service':
            put(doc, 'service.name', v)
        elif k in ('@timestamp', 'host'):
            put(doc, 'app.' + k, v)
        elif k == 'error':
            put(doc, 'error.message', v)
        else:
            assert '.' not in k and k not in ('user', 'stream', 'event', 'url'), k
            doc[k] = v
    return doc


for case in CASES:
    for path in sorted(glob.glob('tests/corpus/%s/*/*-json.log' % case)):
        offset = 0
        with open(path, 'rb') as f:
            for line in f:
                print(dump({'file': path, 'offset': Number(offset), 'document': document(json.loads(line), offset)}))
                offset += len(line)
