"""What describes the program: bash completion, the manual pages. Both are held to what the program itself says."""

import os
import re
import shutil
import subprocess

import pytest

BARGE = os.environ["BARGE"]
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE=$* COMP_POINT=${#COMP_LINE}
_barge && printf '%s\\n' "${COMPREPLY[@]}"
"""


def complete(folder, *words):
    """What bash offers for the last of the words behind `barge`."""
    if not shutil.which("bash"):
        pytest.skip("bash is not installed")
    done = subprocess.run(["bash", "-uc", COMPLETE, "bash", os.path.join(TOP, "conf/completion/barge"), BARGE, *words], capture_output=True,
                          text=True, cwd=folder, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    return set(done.stdout.split())


def said(*arguments):
    return subprocess.run([BARGE, *arguments], capture_output=True, text=True, check=True).stdout


def commands():
    return set(re.findall(r"^  barge (\w+)", said("help"), re.M))


def options(command):
    """The options of a command with the word that stands for their value, or an empty one."""
    usage = said("help", command).splitlines()[0]
    return dict(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)(?: ([^][\s-][^][\s]*))?", usage))


def test_commands_are_completed(tmp_path):
    assert {"run", "check", "trace", "buffer", "help"} <= commands()
    assert complete(tmp_path, "") == commands() | {"-c"}
    assert complete(tmp_path, "c") == {c for c in commands() if c.startswith("c")}
    assert complete(tmp_path, "help", "st") == {"status"}


def test_options_are_completed(tmp_path):
    assert complete(tmp_path, "trace", "--") == {"--since", "--json", "--follow", "--quiet", "--full", "--wrap", "--width"}
    for command in commands():
        assert complete(tmp_path, command, "-") == set(options(command)), command
    assert complete(tmp_path, "setup", "--kibana", "http://k", "--o") == {"--overwrite"}


def test_files_and_folders_are_completed(tmp_path):
    (tmp_path / "barge.yaml").write_text("")
    (tmp_path / "buffer").mkdir()
    both = {"barge.yaml", "buffer"}
    assert complete(tmp_path, "run", "-c", "b") == both
    assert complete(tmp_path, "-c", "b") == both
    assert complete(tmp_path, "buffer", "") == {"status", "verify", "export"}
    assert complete(tmp_path, "buffer", "status", "") == {"buffer"}
    assert complete(tmp_path, "replay", "") == both
    assert complete(tmp_path, "replay", "-c", "barge.yaml", "one", "b") == both
    # An id, a time: nothing that could be known.
    assert complete(tmp_path, "trace", "b") == set()
    assert complete(tmp_path, "trace", "--since", "b") == set()
    assert complete(tmp_path, "version", "b") == set()


def test_the_manual_page_has_every_command_and_option():
    with open(os.path.join(TOP, "conf/man/barge.8"), encoding="utf-8") as f:
        page = f.read()
    described = page[page.index("\n.Sh DESCRIPTION"):]
    for command in commands():
        assert re.search(rf"^\.It (Cm \w+ , )?Cm {command}\b", described, re.M), command
        for option in options(command):
            assert re.search(rf"Fl (-|Fl )?{option.lstrip('-')}\b", described), f"{command} {option}"


def settings_in_force(tmp_path):
    """The dotted names of all that `barge config` shows for either output."""
    found = set()
    for number, text in enumerate(("", 'output: {file: {path: "/tmp/x"}}')):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        sections = []
        for depth, name, value in re.findall(r"^( *)([a-z_]+):( ?)", said("config", "-c", str(path)), re.M):
            del sections[len(depth) // 2:]
            sections.append(name)
            if value:
                found.add(".".join(sections))
    return found


def test_every_setting_is_described(tmp_path):
    with open(os.path.join(os.path.dirname(BARGE), "man/man5/barge.yaml.5"), encoding="utf-8") as f:
        page = f.read()
    with open(os.path.join(TOP, "conf/barge.yaml"), encoding="utf-8") as f:
        delivered = f.read()
    listed = set(re.findall(r"^\.It Va (\S+)$", page, re.M))
    names = settings_in_force(tmp_path)
    assert {"data_dir", "buffer.max_size", "output.elasticsearch.tls.verify", "output.file.path"} <= names
    assert names <= listed
    assert "@SETTINGS@" not in page
    for name in names:
        assert re.search(rf"^[ #]*{name.rsplit('.', 1)[-1]}:", delivered, re.M), name


# What stands beside a setting in MIGRATING.md without being one: the status pages' paths, words of documents, patterns and commands.
NO_SETTINGS = {"/metrics", "/status", "/health", "/ready", "https://HOST:PORT/PATH", "barge setup --kibana URL", "@timestamp", "_id", "*", "kubernetes.*",
               "container.*", "host.name", "log.file.path", "barge.parser", "keys_under_root", "parse_failed", "gelf", "^(?!…)", "negate => false", "beginning", "regex",
               r"printf %s ID:KEY \| base64 -w0", r"\h", "(?m)", "(?s)", "[0-9a-fA-F]", "TZ=Europe/Oslo"}


# Settings that are lists of items, and what an item must have.
LISTS = {"parsers": "container: a", "inputs.files": "paths: [/a]", "redact.rules": "field: a"}


def migrating():
    """What the right columns of the tables of settings name, by section: (section, name, value or None)."""
    with open(os.path.join(TOP, "conf/MIGRATING.md"), encoding="utf-8") as f:
        page = f.read()
    for section in re.split(r"^#+ ", page, flags=re.M):
        for row in re.findall(r"^\|(.*)\|$", section, re.M):
            cells = re.split(r"(?<!\\)\|", row)
            if len(cells) != 2 or "---" in row:
                continue  # the table of a document has three columns
            for word in re.findall(r"`([^`]+)`", cells[1]):
                if word not in NO_SETTINGS:
                    name, colon, value = word.partition(": ")
                    yield section.splitlines()[0], name, value if colon else None


def a_configuration(path, value):
    """The setting as YAML, in the list that it belongs to or by its sections."""
    if "[]." in path:
        listed, key = path.split("[].")
        rest = LISTS[listed]
        pattern = ", pattern: '(?<a>b)'" if (key, value) == ("parser", "regex") else ""
        path, value = listed, f"[{{{rest}, {key}: {value}{pattern}}}]"
    names = path.split(".")
    return "".join("  " * i + name + ":\n" for i, name in enumerate(names[:-1])) + "  " * (len(names) - 1) + f"{names[-1]}: {value}\n"


def listed_settings():
    """All settings of the manual page; the keys of a list's items as LIST[].KEY."""
    with open(os.path.join(os.path.dirname(BARGE), "man/man5/barge.yaml.5"), encoding="utf-8") as f:
        names = re.findall(r"^\.It Va (\S+)$", f.read(), re.M)
    current = None
    for name in names:
        if name in LISTS or "." in name:
            current = name if name in LISTS else None
        yield f"{current}[].{name}" if current not in (None, name) else name


def test_every_setting_that_the_page_for_newcomers_names_is_one(tmp_path):
    listed = list(listed_settings())
    sections = {name.rsplit(".", n)[0] for name in listed for n in range(1, name.count(".") + 1)}
    found, path = {}, tmp_path / "barge.yaml"
    for section, name, value in migrating():
        meant = [s for s in listed if s == name or s.endswith(("." + name, "]." + name))]
        assert meant or name in sections or (name.startswith("enrich.fields.") and value is None), (section, name)
        found.setdefault(section, set()).add(name)
        if value is not None:
            path.write_text(a_configuration(meant[0], value))
            done = subprocess.run([BARGE, "check", "-c", str(path)], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, ""), (section, name, value)
    assert [len(names) > 10 for names in found.values()] == [True] * 3, found  # Logstash, Fluent Bit, Filebeat


def test_one_version_everywhere():
    version = said("version").split()[1]
    for path, pattern in (("debian/changelog", r"\Abarge \((\S+)\) "), ("kubernetes/chart/Chart.yaml", r"^(?:version|appVersion): (\S+)$"),
                          ("kubernetes/chart/values.yaml", r"^image: barge:(\S+)$"), ("kubernetes/daemonset.yaml", r"^ +image: barge:(\S+)$")):
        with open(os.path.join(TOP, "conf", path), encoding="utf-8") as f:
            found = re.findall(pattern, f.read(), re.M)
        assert found and set(found) == {version}, path
