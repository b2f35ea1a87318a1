#!/usr/bin/env python3
"""Writes the reference load, lines of Docker's json-file driver: gen_docker_log.py LINES SRC OUT [--seed N] [--plain PERCENT]

Each line carries "seq" (0 … LINES-1) and "src", inside its JSON message or, for the share of plain text, at its end. 1,457,000 lines are
500 MB: 343 bytes a line, 85 % JSON messages of about ten members."""

import argparse
import json
import random
import time

START = 1542963600  # 2018-11-23T09:00:00Z
LEVELS = ["info"] * 8 + ["debug"] * 4 + ["warn", "error"]
PATHS = ["/orders/", "/orders/42/items", "/inventory/sku/991", "/checkout", "/users/ola.nordmann/profile"]
MESSAGES = ["order accepted", 'reserving stock for "basket"', "calling inventory", "payment gateway answered",
            "cache miss, falling back to the database", "bestilling fullført – takk!", "GET /inventory/sku/991 took longer than expected"]
STACK = "\n".join(f"\tat no.example.checkout.Service${k}.call(Service.java:{100 + k})" for k in range(12))


def plain(dice, seq, src, request_id):
    return (f'10.10.0.{dice.randrange(255)} - - "GET {dice.choice(PATHS)} HTTP/1.1" {dice.choice([200, 200, 200, 404, 502])} {dice.randrange(9000)} '
            f'"-" "curl/7.88" request_id={request_id} {{"seq":{seq},"src":{src}}}\n')


def structured(dice, seq, src, request_id, ns):
    d = {"level": dice.choice(LEVELS), "ts": ns / 1e9, "msg": dice.choice(MESSAGES), "request_id": request_id, "seq": seq, "src": src,
         "method": "GET", "path": dice.choice(PATHS), "status": dice.choice([200, 201, 404, 500]), "duration_ms": round(dice.random() * 300, 3)}
    if dice.randrange(3) == 0:
        d["user"] = {"id": dice.randrange(10**6), "name": "Kåre Ødegård", "roles": ["buyer", "admin"]}
    if dice.randrange(20) == 0:
        d["stack"] = STACK
    return json.dumps(d, separators=(",", ":"), ensure_ascii=False) + "\n"


def lines(count, src, seed, plain_percent):
    dice = random.Random(seed)
    for seq in range(count):
        ns = START * 10**9 + seq * 811337 + dice.randrange(800000)
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 10**9)) + f".{ns % 10**9:09d}".rstrip("0").rstrip(".") + "Z"
        request_id = f"{dice.getrandbits(128):032x}"
        if dice.randrange(100) < plain_percent:
            log, stream = plain(dice, seq, src, request_id), "stderr"
        else:
            log, stream = structured(dice, seq, src, request_id, ns), "stdout"
        yield json.dumps({"log": log, "stream": stream, "time": at}, separators=(",", ":"), ensure_ascii=False) + "\n"


def write(path, count, src=0, seed=1, plain_percent=15):
    with open(path, "w", encoding="utf-8", buffering=1 << 20) as f:
        f.writelines(lines(count, src, seed, plain_percent))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lines", type=int)
    parser.add_argument("src", type=int)
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", type=int, default=15)
    a = parser.parse_args()
    write(a.out, a.lines, a.src, a.seed, a.plain)
