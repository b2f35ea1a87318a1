"""make soak-live HOURS=n: a live Docker engine whose containers come and go, a real Elasticsearch node that goes away and comes back, and
an agent that is killed, upgraded and reloaded between them.

    live.py --chatter build/soak/chatter --folder build/soak-live [--hours 1] [--seed 1] [--rate 500] [--other BINARY]

At the end the node must hold exactly what the containers wrote, line by line, and the agent's books must say the same. --other is a
second binary of barge (an older one) for the upgrades, otherwise a copy. Everything that is needed to understand a failure stays in the
folder: samples.csv, plot.svg, table.md, events.log, verdict.json, the agent's data and logs, the engine's and the node's logs. Ends with
0 when all is well, 1 when it is not, 2 when the engine or the node cannot run here, 130 when it was interrupted.
"""

import argparse
import collections
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "support"), os.path.join(os.path.dirname(HERE), "real")]

import engine as real_engine  # noqa: E402
import nodes  # noqa: E402
from live_agent import Agent  # noqa: E402
from live_churn import Churn, import_image  # noqa: E402
from live_figures import Figures, backlog, clock, plot, table  # noqa: E402
from live_verdict import Verdict  # noqa: E402
from live_writers import Writers  # noqa: E402
from waiting import wait_until  # noqa: E402

NODE = "elasticsearch-8.19"
TEMPLATE = "/_index_template/barge-microservices"
FDS_MORE = 16  # than at the start, when no container is left: connections to the node and to the page

# A kind of event: so many an hour, at least one; the part of the time in which it comes. The agent is left alone in the last third, so
# that one life of it is long.
AGENT_EVENTS = {"kill": (9, 0.65), "kill twice": (2, 0.65), "kill in a burst": (3, 0.65), "upgrade": (6, 0.65), "reload": (10, 0.95),
                "broken reload": (3, 0.95)}
NODE_EVENTS = {"restart": (5, 0.85), "kill": (4, 0.9), "freeze": (3, 0.8)}
# What must have happened of the churn, or the run says nothing.
CHURN_EVENTS = ["made", "renamed", "burst", "started again", "removed at once"]


def timetable(dice, kinds, seconds):
    """[(when, kind)] in order; the moments of each kind lie spread over its part of the time."""
    rows = []
    for kind, (an_hour, part) in kinds.items():
        count = max(1, round(an_hour * seconds / 3600))
        rows += [(seconds * (0.04 + (part - 0.04) * (i + dice.random()) / count), kind) for i in range(count)]
    return sorted(rows)


def session_rss_mib(leader):
    """Of all processes that a process started in its session."""
    pages = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
                fields = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            pages += int(fields[21])
    return pages * os.sysconf("SC_PAGE_SIZE") // (1 << 20)


class Soak:
    def __init__(self, options):
        self.options = options
        self.seconds = options.hours * 3600
        self.dice = random.Random(options.seed)
        self.halt = threading.Event()
        self.problems = []
        self.happened = []  # since the last sample
        self.engine = self.node = self.writers = self.agent = self.churn = self.figures = None
        self.node_is = "up"
        self.begun = time.monotonic()
        self.threads = []
        self._events_log = open(os.path.join(options.folder, "events.log"), "w", encoding="utf-8")

    def clock(self):
        return time.monotonic() - self.begun

    def note(self, event, sampled=True):
        self._events_log.write(f"{self.clock():9.2f} {event}\n")
        self._events_log.flush()
        if sampled:
            self.happened.append(event)

    # -- set up --

    def prepare(self):
        short = self.seconds < 600
        folder = self.options.folder
        self.node = nodes.Node(NODE)
        self.node.timeout_s = 120
        self.engine = real_engine.Engine()
        import_image(self.engine, self.options.chatter)
        self.node.start()
        self.writers = Writers()
        self.agent = Agent(folder, self.node, self.engine, self.writers, self.options.other)
        self.churn = Churn(random.Random(self.dice.random()), self.engine, self.agent, self.writers, files=4 if short else 9, gelf=2 if short else 4,
                           rate=0.8 * self.options.rate, period_s=4 if short else 10,
                           life_s=(self.seconds / 6, self.seconds / 2) if short else (90, min(1500, self.seconds / 2)))
        self.figures = Figures(os.path.join(folder, "samples.csv"))
        self.agent.start()
        wait_until(self._template, 60, "the index template", every_s=0.1)
        self.fds_at_start = self.agent.process_figures()[1]

    def _template(self):
        try:
            return self.node.request("GET", TEMPLATE)
        except OSError:
            return None

    # -- what happens --

    def _follow(self, kinds, act):
        """A thread: the events of one timetable, one after the other."""
        for when, kind in timetable(random.Random(self.dice.random()), kinds, self.seconds):
            if self.halt.wait(max(0.0, when - self.clock())):
                return
            try:
                act(kind)
            except Exception as e:  # noqa: BLE001 - all that can go wrong ends the run
                if not self.halt.is_set():
                    self.problems.append(f"{act.__name__} {kind}: {type(e).__name__}: {e}")
                return

    def _agent_event(self, kind):
        with self.agent.gate:
            if "reload" not in kind:
                self.agent.consumed(self.churn.files_there)
            if kind == "kill in a burst":
                self.churn.burst_of_all()
                time.sleep(self.dice.random() * 0.2)
            away_s = self.dice.choice([0.0, self.dice.random() * 3])
            if kind.startswith("kill"):
                self.note("agent killed" + kind[4:])
                self.agent.kill(away_s)
                if kind == "kill twice":
                    self.agent.kill()
            elif kind == "upgrade":
                self.note("agent upgraded")
                self.agent.upgrade(away_s)
            else:
                self.note("agent reloaded" + (", broken file" if "broken" in kind else ""))
                self.agent.reload(broken="broken" in kind)
            self.note(f"agent: {kind} done", sampled=False)

    def _node_event(self, kind):
        away_s = self.dice.random() * min(40.0, self.seconds / 30)
        if kind == "freeze":
            self._node_goes("frozen", lambda: self.node.signal(signal.SIGSTOP))
            self.halt.wait(away_s + 2)
            self.node.signal(signal.SIGCONT)
        else:
            self._node_goes("stopped" if kind == "restart" else "killed", self.node.stop if kind == "restart" else self.node.kill)
            if self.halt.wait(away_s):
                return
            self.node.start()
        self.node_is = "up"
        self.note("node back")

    def _node_goes(self, how, act):
        self.node_is = how
        self.note("node " + how)
        act()

    # -- looking --

    def sample(self):
        """A row of figures; what the agent's page says is None while it is away."""
        process = self.agent.process_figures()
        page = None
        if process:
            try:
                page = self.agent.status()
            except (OSError, ValueError):
                pass  # it ends just now
        node = self.node.process
        happened, self.happened = self.happened, []
        written = self.writers.written()
        ledger = page["ledger"] if page else collections.defaultdict(lambda: None)
        row = {"seconds": round(self.clock(), 1), "made": self.churn.events["made"], "there": len(self.churn.containers), "written": written,
               "read": ledger["read"], "delivered": ledger["delivered"] + ledger["duplicate"] if page else None,
               "lag_bytes": page["inputs"]["docker"]["lag_bytes"] if page else None, "buffer_bytes": page["buffer"]["bytes"] if page else None,
               "rss_kib": process[0] if page else None, "fds": process[1] if page else None,
               "files": page["inputs"]["docker"]["files"] if page else None, "cpu_s": round(process[2], 2) if page else None,
               "node_rss_mib": session_rss_mib(node.pid) if node else 0, "node": self.node_is,
               "kernel_dropped": self.agent.datagrams_dropped(), "events": "; ".join(happened)}
        self.figures.add(row)
        return row

    def tell(self, row):
        agent = f"barge {row['rss_kib'] / 1024:.1f} MiB, {row['fds']} files, {row['cpu_s']:.1f} CPU s, buffer {row['buffer_bytes'] / 1048576:.1f} MiB" \
            if row["rss_kib"] else "barge away"
        late = backlog(row)
        print(f"{time.strftime('%H:%M:%S')} +{clock(row['seconds'])} {row['made']} containers made, {row['there']} there; {row['written']:,} lines written, "
              + (f"{row['delivered']:,} delivered, {late:,} not yet; " if late is not None else "") + f"{agent}; node {row['node']}, {row['node_rss_mib']} MiB",
              flush=True)

    def all_problems(self):
        return self.problems + self.churn.problems + self.agent.problems + [f"container {name} went away by itself" for name in self.writers.broken]

    def churn_and_look(self):
        self.churn.start()
        self.threads = [threading.Thread(target=self._follow, args=a, daemon=True)
                        for a in ((AGENT_EVENTS, self._agent_event), (NODE_EVENTS, self._node_event))]
        for thread in self.threads:
            thread.start()
        sample_s, tell_s = min(10.0, self.seconds / 30), min(60.0, self.seconds / 6)
        sampled_at = told_at = 0.0
        while self.clock() < self.seconds and not self.all_problems():
            if self.clock() >= sampled_at:
                row = self.sample()
                sampled_at = self.clock() + sample_s
                if self.clock() >= told_at:
                    self.tell(row)
                    told_at = self.clock() + tell_s
            time.sleep(0.1)

    def drain(self):
        """Nobody writes any more; what is on its way arrives."""
        self.note("the end of the churn")
        if self.all_problems():
            print("ends early: " + "; ".join(self.all_problems()), flush=True)
            self.halt.set()
        self.churn.stop()
        self.churn.let_all_end()
        for thread in self.threads:  # what is still to come: a node that starts may make the short form late
            while thread.is_alive():
                thread.join(10)
                self.tell(self.sample())
        written = self.writers.written()

        seen = {}

        def arrived():
            """All, or all that ever will: the verdict says what is missing, and some of it may have an excuse."""
            page = self.agent.status()
            ledger = page["ledger"]
            if seen.get("read") != ledger["read"]:
                seen.update(read=ledger["read"], since=self.clock())
            complete = ledger["read"] >= written or self.clock() > seen["since"] + 15
            return complete and ledger["buffered"] == 0 and page["inputs"]["docker"]["lag_bytes"] == 0

        try:
            wait_until(arrived, 600, lambda: f"delivered what was read: {self.agent.last}", every_s=0.2)
        except AssertionError as e:
            self.problems.append(str(e))
        self.tell(self.sample())

    # -- the verdict --

    def judge(self):
        verdict = Verdict(self.node, self.writers, self.agent.kills, self.agent.datagrams_dropped())
        begun = self.clock()
        verdict.look()
        print(f"{verdict.documents:,} documents looked at in {self.clock() - begun:.0f} s", flush=True)
        verdict.wrong += self.all_problems() + self._books(verdict) + self._not_happened()
        if verdict.wrong:
            self.keep_containers(verdict)
        self.churn.remove_all()
        try:
            wait_until(lambda: self.agent.status()["inputs"]["docker"]["files"] == 0, 60, lambda: f"no file open: {self.agent.last['inputs']}")
            fds = self.agent.process_figures()[1]
            if fds > self.fds_at_start + FDS_MORE:
                verdict.wrong.append(f"{fds} open files at the end without a container, {self.fds_at_start} at the start")
            self.agent.stop()
        except (AssertionError, OSError) as e:
            verdict.wrong.append(str(e))
        return verdict

    def _books(self, verdict):
        page = self.agent.status()
        ledger, figures = page["ledger"], page["inputs"]["docker"]
        wrong = []
        if not ledger["read"] == ledger["delivered"] + ledger["duplicate"] == verdict.documents:
            wrong.append(f"the books say otherwise than the node with its {verdict.documents}: {ledger}")
        if ledger["dead_lettered"] or any(ledger["dropped"].values()) or ledger["buffered"]:
            wrong.append(f"the books have more than what was delivered: {ledger}")
        wrong += [f"inputs.docker.{name} is {figures[name]}" for name in ("missed_files", "let_go_bytes", "invalid_lines", "skipped_bytes", "lag_bytes")
                  if figures[name]]
        return wrong

    def _not_happened(self):
        if self.all_problems():
            return []
        return [f"it never came to this: {name}" for name in CHURN_EVENTS if not self.churn.events[name]]

    def keep_containers(self, verdict):
        """The log files of containers that lack something, as far as they stand."""
        for name in list(verdict.missing) + list(verdict.twice):
            folder = os.path.join(self.engine.containers, verdict.sources[name].container_id)
            kept = os.path.join(self.options.folder, "containers", name)
            if os.path.isdir(folder) and not os.path.exists(kept):
                shutil.copytree(folder, kept)

    def engine_gave_up(self):
        with open(self.engine.log_path, encoding="utf-8", errors="replace") as f:
            return sum("logs may be truncated" in line for line in f)

    def report(self, verdict):
        events = collections.Counter(e for row in self.figures.rows for e in filter(None, row["events"].split("; ")))
        ledger = self.agent.last["ledger"]
        page = [f"{clock(self.figures.rows[-1]['seconds'])} with seed {self.options.seed}: {verdict.written:,} lines of {self.churn.events['made']} containers, "
                f"{verdict.documents:,} documents", "", table(self.figures.rows), "",
                "Containers: " + ", ".join(f"{n} {what}" for what, n in sorted(self.churn.events.items())),
                "Agent and node: " + ", ".join(f"{n} × {what}" for what, n in sorted(events.items())),
                f"Books: {ledger}",
                f"Logs that the engine says it cut off: {self.engine_gave_up()}",
                f"Datagrams: {sum(verdict.cut_by_kill.values())} in the turns that {len(self.agent.kills)} kill -9 cut off, "
                f"{verdict.dropped_by_kernel} of {verdict.may_be_dropped} that the kernel dropped"]
        text = "\n".join(page)
        print(text)
        with open(os.path.join(self.options.folder, "table.md"), "w", encoding="utf-8") as f:
            f.write(text + "\n")
        with open(os.path.join(self.options.folder, "plot.svg"), "w", encoding="utf-8") as f:
            f.write(plot(self.figures.rows, f"make soak-live, seed {self.options.seed}"))
        with open(os.path.join(self.options.folder, "verdict.json"), "w", encoding="utf-8") as f:
            json.dump({"wrong": verdict.wrong, "ledger": ledger, "details": verdict.details}, f, indent=1)
        print(f"plot, table and figures: {self.options.folder}/plot.svg, table.md, samples.csv")
        if verdict.wrong:
            print(f"WRONG ({len(verdict.wrong)}; kept in {self.options.folder}):")
            print("\n".join("  " + w for w in verdict.wrong[:60]))
        else:
            print("nothing missing, nothing twice, the books agree")

    # -- the end --

    def close(self):
        self.halt.set()
        if self.churn:
            self.churn.halt.set()
        for what, log in ((self.node, "node.log"), (self.engine, "dockerd.log")):
            if what:
                shutil.copy(os.path.join(what.home, log), self.options.folder)
        for what in (self.agent, self.engine, self.node, self.writers, self.figures, self._events_log):
            if what:
                try:
                    what.close()
                except Exception as e:  # noqa: BLE001 - the others are to be closed, too
                    print(f"closing: {type(e).__name__}: {e}", file=sys.stderr)

    def run(self):
        self.prepare()
        print(f"ready after {self.clock():.0f} s; {self.seconds:.0f} s of churn with seed {self.options.seed}", flush=True)
        self.begun = self.writers.begun = time.monotonic()
        self.churn_and_look()
        self.drain()
        verdict = self.judge()
        self.report(verdict)
        return 1 if verdict.wrong else 0


def interrupted(_number, _frame):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # once is enough: what follows is the clearing away
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chatter", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=500, help="lines a second, about")
    parser.add_argument("--other", help="another binary of barge for the upgrades")
    options = parser.parse_args()
    options.folder = os.path.realpath(options.folder)
    shutil.rmtree(options.folder, ignore_errors=True)
    os.makedirs(options.folder)
    # Engine and node live below one folder, so that nothing of them is left, whenever the end comes.
    tempfile.tempdir = tempfile.mkdtemp(prefix="barge-soak-")
    os.chmod(tempfile.tempdir, 0o755)
    soak = Soak(options)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    try:
        return soak.run()
    except (real_engine.Unavailable, nodes.Unavailable) as e:
        print(f"cannot run here: {e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted; what there is lies in {options.folder}", file=sys.stderr)
        return 130
    finally:
        soak.close()
        real_engine.remove(tempfile.tempdir)


if __name__ == "__main__":
    sys.exit(main())
