"""The files under conf/kibana: what the script makes, and sound in themselves. No Kibana is asked."""

import json
import os
import re

import pytest

import kibana_objects

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILES = ("kibana-7.10.ndjson", "kibana-8.ndjson")


def conf(*path):
    with open(os.path.join(TOP, "conf", *path), encoding="utf-8") as f:
        return f.read()


def mapped(properties, prefix=""):
    for name, mapping in properties.items():
        if "properties" in mapping:
            yield from mapped(mapping["properties"], f"{prefix}{name}.")
        else:
            yield prefix + name, mapping


def fields_of(file):
    return dict(mapped(json.loads(conf("elasticsearch", file))["template"]["mappings"]["properties"]))


def can_be_counted(mapping, kinds):
    """Or sorted by, or chosen from: of one of these types, and not only to be searched."""
    return mapping["type"] in kinds and mapping.get("doc_values", True)


def can_be_searched(mapping):
    """By its index, not by going through all there is."""
    return mapping.get("index", True)


@pytest.fixture(params=FILES)
def objects(request):
    return [json.loads(line) for line in conf("kibana", request.param).splitlines()]


def inner(o):
    """The JSON inside the strings of an object: {path: value}."""
    found = {}

    def walk(value, path):
        if isinstance(value, dict):
            for k, v in value.items():
                walk(v, f"{path}.{k}" if path else k)
        elif isinstance(value, str) and (path.endswith("JSON") or path.endswith("visState")):
            found[path] = json.loads(value)

    walk(o["attributes"], "")
    return found


@pytest.mark.parametrize("file", FILES)
def test_files_are_what_the_script_makes(file):
    assert conf("kibana", file) == kibana_objects.files()[file], "python3 tests/support/kibana_objects.py conf/kibana"


def test_references_and_inner_json(objects):
    there = {(o["type"], o["id"]) for o in objects}
    assert len(there) == len(objects)
    for o in objects:
        names = [r["name"] for r in o["references"]]
        assert len(names) == len(set(names))
        assert all((r["type"], r["id"]) in there for r in o["references"]), o["id"]
        # Each reference is used by its name, and each name that is used is a reference.
        used = set(re.findall(r'RefName":\s*"([^"]+)"', json.dumps(inner(o))))
        others = {n for n in names if n.startswith("controlGroup_")}
        assert used == set(names) - others, o["id"]
        for name in others:
            assert name.split("_", 1)[1].split(":")[0] in inner(o)["controlGroupInput.panelsJSON"]
        assert o["type"] == "index-pattern" or inner(o)


def test_dashboards(objects):
    by_title = {o["attributes"]["title"]: o for o in objects if o["type"] == "dashboard"}
    assert set(by_title) == {"One request", "Services", "Shipping"}
    for o in by_title.values():
        taken = set()
        for panel in inner(o)["panelsJSON"]:
            grid = panel["gridData"]
            cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
            assert grid["x"] + grid["w"] <= 48 and not cells & taken, panel
            taken |= cells


def test_fields_are_mapped(objects):
    """Every field that is shown, counted or asked for is in the template, and is of a kind that can be."""
    fields = {"barge-records": fields_of("index-template.json"), "barge-figures": fields_of("figures-template.json")}
    views = {o["id"]: fields[o["id"]] for o in objects if o["type"] == "index-pattern"}
    assert set(views) == set(fields)
    seen = 0
    for o in objects:
        view = next((views[r["id"]] for r in o["references"] if r["type"] == "index-pattern"), None)
        for field in o["attributes"].get("columns", []):
            assert field in view, (o["id"], field)
            seen += 1
        for field, _ in o["attributes"].get("sort", []):
            assert can_be_counted(view[field], {"long", "date", "date_nanos"}), (o["id"], field)
            seen += 1
        queries = [v["query"]["query"] for k, v in inner(o).items() if k.endswith("searchSourceJSON")]
        view_of_query = view or fields["barge-records"]  # a dashboard's query is for all that is on it
        for field in re.findall(r"([\w.@]+) :", " ".join(queries)):
            assert can_be_searched(view_of_query[field]), (o["id"], field)
            seen += 1
        state = inner(o).get("visState", {"aggs": [], "params": {}})
        for agg in state["aggs"]:
            if "field" in agg["params"]:
                wanted = {"terms": {"keyword"}, "max": {"long"}, "avg": {"long"}, "date_histogram": {"date", "date_nanos"}}[agg["type"]]
                assert can_be_counted(view[agg["params"]["field"]], wanted), (o["id"], agg)
                seen += 1
        assert len({a["id"] for a in state["aggs"]}) == len(state["aggs"])
        for control in state["params"].get("controls", []) + [p["explicitInput"] for p in inner(o).get("controlGroupInput.panelsJSON", {}).values()]:
            assert can_be_counted(view[control["fieldName"]], {"keyword"}), (o["id"], control)
            seen += 1
    assert seen > 40
