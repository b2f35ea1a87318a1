"""Makes conf/kibana/*.ndjson, the saved objects that `barge setup --kibana` imports:

    python3 tests/support/kibana_objects.py conf/kibana

kibana-7.10.ndjson is for Kibana 7.10 to 7.17 and OpenSearch Dashboards, its child; kibana-8.ndjson for Kibana 8 and later, which has
controls of its own on a dashboard. The same input gives the same bytes; a test holds the files to what this makes.
"""

import json
import os
import sys

RECORDS, FIGURES = "barge-records", "barge-figures"
REQUEST, SERVICE, LEVEL, DURATION = "http.request.id", "service.name", "log.level", "event.duration"
INDEX_REF = "kibanaSavedObjectMeta.searchSourceJSON.index"
VERSIONS = {"index-pattern": "7.6.0", "search": "7.9.3", "visualization": "7.10.0", "dashboard": "7.9.3"}


def text(value):
    """JSON as a string inside JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def saved(kind, name, attributes, references):
    return {"type": kind, "id": name, "attributes": attributes, "references": references, "migrationVersion": {kind: VERSIONS[kind]}}


def data_view(name, title):
    return saved("index-pattern", name, {"title": title, "timeFieldName": "@timestamp"}, [])


def source(view, query="", **more):
    meta = {"searchSourceJSON": text({**more, "query": {"query": query, "language": "kuery"}, "filter": [], "indexRefName": INDEX_REF})}
    return {"kibanaSavedObjectMeta": meta}, [{"name": INDEX_REF, "type": "index-pattern", "id": view}]


def search(name, title, columns, query="", order="desc", by="@timestamp", view=RECORDS):
    meta, references = source(view, query, highlightAll=True, version=True)
    return saved("search", name, {"title": title, "description": "", "columns": columns, "sort": [[by, order]], "version": 1, **meta}, references)


def visualization(name, title, kind, aggs, params, query="", view=RECORDS):
    meta, references = source(view, query)
    state = {"title": title, "type": kind, "aggs": aggs, "params": params}
    return saved("visualization", name, {"title": title, "visState": text(state), "uiStateJSON": "{}", "description": "", "version": 1, **meta}, references)


# ---- what visualizations are made of ----

def agg(number, kind, schema, **params):
    return {"id": str(number), "enabled": True, "type": kind, "schema": schema, "params": params}


def over_time(number=2):
    return agg(number, "date_histogram", "segment", field="@timestamp", useNormalizedEsInterval=True, scaleMetricValues=False, interval="auto",
               drop_partials=False, min_doc_count=1, extended_bounds={})


def terms(number, field, schema, size=20, order_by="1"):
    return agg(number, "terms", schema, field=field, orderBy=order_by, order="desc", size=size, otherBucket=False, otherBucketLabel="Other",
               missingBucket=False, missingBucketLabel="Missing")


def axes(kind, mode, series):
    """Of a bar or line chart; series: (number of the metric, its label)."""
    return {
        "type": kind, "grid": {"categoryLines": False}, "addTooltip": True, "addLegend": True, "legendPosition": "right", "times": [],
        "addTimeMarker": False, "labels": {"show": False},
        "thresholdLine": {"show": False, "value": 10, "width": 1, "style": "full", "color": "#E7664C"},
        "categoryAxes": [{"id": "CategoryAxis-1", "type": "category", "position": "bottom", "show": True, "style": {}, "scale": {"type": "linear"},
                          "labels": {"show": True, "filter": True, "truncate": 100}, "title": {}}],
        "valueAxes": [{"id": "ValueAxis-1", "name": "LeftAxis-1", "type": "value", "position": "left", "show": True, "style": {},
                       "scale": {"type": "linear", "mode": "normal"}, "labels": {"show": True, "rotate": 0, "filter": False, "truncate": 100},
                       "title": {"text": series[0][1]}}],
        "seriesParams": [{"show": True, "type": kind, "mode": mode, "data": {"id": str(number), "label": label}, "valueAxis": "ValueAxis-1",
                          "drawLinesBetweenPoints": True, "lineWidth": 2, "showCircles": True} for number, label in series],
    }


def bars(name, title, split, query="", view=RECORDS):
    return visualization(name, title, "histogram", [agg(1, "count", "metric"), over_time(), terms(3, split, "group")],
                         axes("histogram", "stacked", [(1, "Count")]), query, view)


def lines_of_maximum(name, title, fields, view=FIGURES):
    """The highest of each figure over time, by host."""
    numbers = [n for n in range(1, len(fields) + 2) if n not in (2, 3)] + [len(fields) + 2, len(fields) + 3]
    metrics = [agg(number, "max", "metric", field=field) for number, field in zip(numbers, fields)]
    series = [(m["id"], f"Max {m['params']['field']}") for m in metrics]
    return visualization(name, title, "line", [*metrics, over_time(), terms(3, "host.name", "group")], axes("line", "normal", series), "", view)


def table(name, title, metrics, buckets, query="", view=RECORDS):
    params = {"perPage": 20, "showPartialRows": False, "showMetricsAtAllLevels": False, "sort": {"columnIndex": None, "direction": None},
              "showTotal": False, "totalFunc": "sum", "percentageCol": ""}
    return visualization(name, title, "table", [*metrics, *buckets], params, query, view)


# ---- dashboards ----

def dashboard(name, title, description, panels, kibana8, control=None, query="", time_from="now-24h"):
    """panels: (object, x, y, width, height) on a grid of 48 columns. query: what stands in its query bar when it is opened."""
    placed, references = [], []
    for i, (panel, x, y, w, h) in enumerate(panels):
        placed.append({"version": VERSIONS["visualization"], "gridData": {"x": x, "y": y, "w": w, "h": h, "i": str(i + 1)}, "panelIndex": str(i + 1),
                       "embeddableConfig": {}, "panelRefName": f"panel_{i}"})
        references.append({"name": f"panel_{i}", "type": panel["type"], "id": panel["id"]})
    attributes = {
        "title": title, "description": description, "panelsJSON": text(placed), "version": 1, "timeRestore": True, "timeFrom": time_from, "timeTo": "now",
        "optionsJSON": text({"hidePanelTitles": False, "useMargins": True}),
        "kibanaSavedObjectMeta": {"searchSourceJSON": text({"query": {"query": query, "language": "kuery"}, "filter": []})},
    }
    if control and kibana8:
        view, field, label = control
        attributes["controlGroupInput"] = {
            "controlStyle": "oneLine", "chainingSystem": "HIERARCHICAL",
            "panelsJSON": text({"service": {"order": 0, "width": "large", "grow": True, "type": "optionsListControl",
                                            "explicitInput": {"id": "service", "fieldName": field, "title": label, "singleSelect": True, "enhancements": {}}}}),
            "ignoreParentSettingsJSON": text({"ignoreFilters": False, "ignoreQuery": False, "ignoreTimerange": False, "ignoreValidations": False}),
        }
        references.append({"name": "controlGroup_service:optionsListDataView", "type": "index-pattern", "id": view})
    return saved("dashboard", name, attributes, references)


def input_control(name, title, view, field, label):
    """The control of 7.10, a visualization of its own."""
    controls = [{"id": "1", "fieldName": field, "parent": "", "label": label, "type": "list", "indexPatternRefName": "control_0_index_pattern",
                 "options": {"type": "terms", "multiselect": False, "dynamicOptions": True, "size": 10, "order": "desc"}}]
    state = {"title": title, "type": "input_control_vis", "aggs": [],
             "params": {"controls": controls, "updateFiltersOnChange": True, "useTimeFilter": True, "pinFilters": False}}
    meta = {"kibanaSavedObjectMeta": {"searchSourceJSON": text({"query": {"query": "", "language": "kuery"}, "filter": []})}}
    return saved("visualization", name, {"title": title, "visState": text(state), "uiStateJSON": "{}", "description": "", "version": 1, **meta},
                 [{"name": "control_0_index_pattern", "type": "index-pattern", "id": view}])


def objects(kibana8):
    views = [data_view(RECORDS, "microservices-*"), data_view(FIGURES, "barge-figures-*")]
    columns = [SERVICE, LEVEL, "message", DURATION]
    story = search("barge-request-records", "Records in their order", columns, order="asc")
    errors = search("barge-errors", "Errors", [SERVICE, "message", "error.message", REQUEST], f"{LEVEL} : (error or fatal) or error.message : *")
    slow = search("barge-slow-records", "Slowest records", [SERVICE, DURATION, "message", REQUEST], f"{DURATION} : *", by=DURATION)
    timeline = bars("barge-request-timeline", "When each service spoke", SERVICE)
    control = [] if kibana8 else [input_control("barge-request-control", "Service", RECORDS, SERVICE, "Service")]
    top = 6 if control else 0
    # The id is asked for in the query bar: a control would have the node count all ids there are, for which the template keeps nothing.
    one_request = dashboard("barge-one-request", "One request", "The records of one request over all services. Put its id into the query above.",
                            [*((c, 0, 0, 48, 6) for c in control), (timeline, 0, top, 48, 11), (story, 0, top + 11, 48, 28)],
                            kibana8, (RECORDS, SERVICE, "Service"), f'{REQUEST} : "put its id here"')

    rate = bars("barge-service-rate", "Records by service", SERVICE)
    levels = bars("barge-service-levels", "Records by level", LEVEL)
    failing = bars("barge-service-errors", "Errors by service", SERVICE, f"{LEVEL} : (error or fatal)")
    busiest = table("barge-top-services", "Top services", [agg(1, "count", "metric")], [terms(2, SERVICE, "bucket", 50)])
    slowest = table("barge-slowest-services", "Slowest services (nanoseconds)",
                    [agg(1, "max", "metric", field=DURATION), agg(2, "avg", "metric", field=DURATION)], [terms(3, SERVICE, "bucket", 50)], f"{DURATION} : *")
    services = dashboard("barge-services", "Services", "What the services say: how much, how bad, how slow.",
                         [(rate, 0, 0, 24, 12), (levels, 24, 0, 24, 12), (failing, 0, 12, 24, 12), (busiest, 24, 12, 12, 12), (slowest, 36, 12, 12, 12),
                          (errors, 0, 24, 24, 18), (slow, 24, 24, 24, 18)], kibana8)

    lag = lines_of_maximum("barge-shipping-lag", "Bytes in log files not read yet", ["barge.inputs.docker.lag_bytes"])
    waiting = lines_of_maximum("barge-shipping-buffer", "Age of the oldest record on its way, in seconds", ["barge.buffer.oldest_age_s"])
    dropped = lines_of_maximum("barge-shipping-dropped", "Dropped, since the beginning",
                               ["barge.ledger.dropped.buffer_full", "barge.ledger.dropped.damaged", "barge.ledger.dropped.too_large",
                                "barge.ledger.dropped.invalid", "barge.inputs.gelf.kernel_dropped"])
    dead = lines_of_maximum("barge-shipping-dead", "Dead letters, since the beginning; parked records", ["barge.ledger.dead_lettered", "barge.output.parked"])
    breaker = lines_of_maximum("barge-shipping-breaker", "Breaker: 0 closed, 1 half-open, 2 open", ["barge.output.breaker"])
    trouble = table("barge-shipping-errors", "Last errors of the output", [agg(1, "count", "metric")],
                    [terms(2, "host.name", "bucket"), terms(3, "barge.output.last_error", "bucket")], view=FIGURES)
    shipping = dashboard("barge-shipping", "Shipping", "How barge itself fares, from its own figures: needs self_index: true.",
                         [(lag, 0, 0, 24, 12), (waiting, 24, 0, 24, 12), (dropped, 0, 12, 24, 12), (dead, 24, 12, 24, 12), (breaker, 0, 24, 24, 12),
                          (trouble, 24, 24, 24, 12)], kibana8)
    return [*views, story, errors, slow, *control, timeline, one_request, rate, levels, failing, busiest, slowest, services,
            lag, waiting, dropped, dead, breaker, trouble, shipping]


def files():
    """{name: content}"""
    return {name: "".join(json.dumps(o, separators=(",", ":"), ensure_ascii=False) + "\n" for o in objects(kibana8))
            for name, kibana8 in (("kibana-7.10.ndjson", False), ("kibana-8.ndjson", True))}


if __name__ == "__main__":
    for file_name, content in files().items():
        with open(os.path.join(sys.argv[1], file_name), "w", encoding="utf-8") as f:
            f.write(content)
