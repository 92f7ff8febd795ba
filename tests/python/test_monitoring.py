"""The metrics of a server, their description in docs/operations.md, and what monitoring/ says of them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml

from conftest import running

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"
OPERATIONS = (ROOT / "docs/operations.md").read_text()
RULES = yaml.safe_load((MONITORING / "alerts.yml").read_text())
TESTS = yaml.safe_load((MONITORING / "tests.yml").read_text())
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]

# Everything on: some metrics exist only with a setting.
CONFIGURATION = """
[metrics]
listen = "127.0.0.1:0"
[keys]
rotate_every = "30d"
[backup]
every = "1d"
folder = "{folder}/backups"
[journal]
copy = "{folder}/copy"
"""
WITH_TLS = """
[metrics]
listen = "127.0.0.1:0"
[tls]
certificate = "{folder}/certificate.pem"
key = "{folder}/key.pem"
"""
# What Prometheus adds itself.
OF_PROMETHEUS = {"up"}
# The names of a metric's samples, by its type and by what is appended to its name.
SAMPLES = {
    "counter": ["_total"],
    "gauge": [""],
    "histogram": ["_bucket", "_count", "_sum"],
    "info": ["_info"],
}
KEYWORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset"}


def metrics_of(expression: str) -> set[str]:
    """Returns the names of the metrics in a PromQL expression."""
    bare = re.sub(r'"(\\.|[^"\\])*"', "", expression)
    bare = re.sub(r"\{[^}]*\}", " ", bare)
    bare = re.sub(r"\[[^\]]*\]", " ", bare)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\b[0-9][0-9a-zA-Z_.]*", " ", bare)
    names = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\()\b(?!\s*\()", bare)
    return {name for name in names if name not in KEYWORDS}


def dashboard_expressions():
    """Returns the expressions of the dashboard: of its panels, annotations and variables."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']!r}", target["expr"]
    for annotation in DASHBOARD["annotations"]["list"]:
        yield f"annotation {annotation['name']!r}", annotation["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            query = variable["query"]["query"]
            yield f"variable {variable['name']!r}", re.fullmatch(r"label_values\((.*), \w+\)", query).group(1)


def expressions():
    """Returns all expressions of monitoring/, with where they are."""
    for alert in ALERTS:
        yield f"alert {alert['alert']}", alert["expr"]
    yield from dashboard_expressions()


def unknown(known: set[str], expressions) -> list[str]:
    """Returns the metrics in expressions that are not known, with where they are."""
    return [
        f"{name} in {where}"
        for where, expression in expressions
        for name in sorted(metrics_of(expression) - known - OF_PROMETHEUS)
    ]


def documented(text: str) -> set[str]:
    """Returns the metrics in the first column of the tables of a document."""
    cells = re.findall(r"^\|([^|]*)\|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`((?:jeton|process)_\w+)(?:\{[^}`]*\})?`", cell)}


def types_of(text: str) -> dict[str, str]:
    """Returns the type of each metric that a server exports, by its name without what its samples append."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))


def samples_of(types: dict[str, str]) -> set[str]:
    return {name + end for name, kind in types.items() for end in SAMPLES[kind]}


def names_of(types: dict[str, str]) -> set[str]:
    """Returns the names under which metrics are documented."""
    ends = {"counter": "_total", "info": "_info"}
    return {name + ends.get(kind, "") for name, kind in types.items()}


def scrape(folder: Path) -> str:
    """Returns the metrics of the server that runs in a folder, once the tokens are counted."""
    address = re.search(r"serving metrics listen=(\S+)", (folder / "log").read_text()).group(1)
    answer = httpx.get(f"http://{address}/metrics")
    assert answer.status_code == 200
    return answer.text


def certify(folder: Path):
    """Makes a certificate for 127.0.0.1 that signs itself."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", folder / "key.pem", "-out", folder / "certificate.pem", "-days", "30"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    (folder / "key.pem").chmod(0o600)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The metrics of a server that has answered a few requests."""
    folder = tmp_path_factory.mktemp("monitored")
    (folder / "copy").mkdir(mode=0o700)
    with running(folder, CONFIGURATION.format(folder=folder)) as server:
        session = {"Authorization": f"Bearer {server.session()}"}
        order = {"name": "n", "organization": "default", "owner": "organization"}
        created = httpx.post(f"{server.url}/api/v1/tokens", headers=session, json=order)
        assert created.status_code == 201, created.text
        assert httpx.get(f"{server.url}/nowhere").status_code == 404
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        text = scrape(folder)
    # What only a server with TLS exports.
    folder = tmp_path_factory.mktemp("with_tls")
    certify(folder)
    with running(folder, WITH_TLS.format(folder=folder)):
        lines = scrape(folder).splitlines(keepends=True)
        of_tls = [line for line in lines if re.match(r"(# \w+ )?jeton_tls_", line)]
    assert of_tls
    yield text.replace("# EOF\n", "".join(of_tls) + "# EOF\n")


def test_every_metric_of_an_expression_is_exported(exported):
    known = samples_of(types_of(exported))
    assert unknown(known, expressions()) == []


def test_a_name_with_another_letter_is_reported(exported):
    known = samples_of(types_of(exported))
    assert unknown(known, [("here", 'sum by (le) (rate(jeton_store_comit_duration_seconds_bucket{a="b"}[5m])) > 1e3')]) == [
        "jeton_store_comit_duration_seconds_bucket in here"
    ]
    assert unknown(known, [("here", "time() - jeton_key_due_seconds > 3600 or jeton_raedy == 0")]) == ["jeton_raedy in here"]
    # The name of a metric is not that of its samples.
    assert unknown(known, [("here", "jeton_store_commit_duration_seconds")]) != []


def test_the_labels_of_an_expression_are_exported(exported):
    """An expression that asks for a label or a value that no series has is never true."""
    series = re.findall(r"^([a-z_]+)\{(.*)\} ", exported, re.MULTILINE)
    values = {}
    for name, labels in series:
        for label, value in re.findall(r'(\w+)="([^"]*)"', labels):
            values.setdefault((name, label), set()).add(value)
    missing = []
    for where, expression in expressions():
        for name, matchers in re.findall(r"([a-z_]+)\{([^}]*)\}", expression):
            for label, operator, wanted in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', matchers):
                if label in ("instance", "job") or name.startswith("jeton_http_"):
                    continue
                found = values.get((name, label), set())
                parts = wanted.split("|") if operator == "=~" else [wanted]
                missing += [f"{name}{{{label}={part}}} in {where}" for part in parts if part not in found]
    assert missing == []


def test_every_exported_metric_is_documented_and_the_other_way_round(exported):
    names, tables = names_of(types_of(exported)), documented(OPERATIONS)
    assert sorted(names - tables) == [], "not in a table of docs/operations.md"
    assert sorted(tables - names) == [], "in a table of docs/operations.md, and not exported"


def test_a_document_that_lacks_a_metric_or_misspells_it_is_noticed(exported):
    names = names_of(types_of(exported))
    altered = documented(OPERATIONS.replace("| `jeton_ready` |", "| `jeton_raedy` |"))
    assert names ^ altered == {"jeton_ready", "jeton_raedy"}


def test_every_metric_has_a_help_text_and_no_label_of_a_user_or_path(exported):
    types = types_of(exported)
    helped = set(re.findall(r"^# HELP (\S+) \S", exported, re.MULTILINE))
    assert set(types) == helped
    labels = set(re.findall(r'[{,](\w+)="', exported))
    allowed = {
        *("active", "by", "cause", "kind", "le", "method", "operation", "owner", "reach", "reason", "result"),
        *("state", "status", "surface", "version", "within"),
    }
    assert labels <= allowed


@pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])
def test_an_alert_has_a_runbook_and_fires_and_is_quiet_in_a_test(alert):
    name = alert["alert"]
    assert alert["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
    assert OPERATIONS.count(f"\n### {name}\n") == 1
    section = OPERATIONS.split(f"\n### {name}\n")[1].split("\n#")[0]
    assert re.search(r"^1\. ", section, re.MULTILINE), "the runbook has no steps"
    assert alert["labels"]["severity"] in ("page", "ticket", "info")
    assert alert["annotations"]["summary"]
    results = [
        bool(case["exp_alerts"])
        for test in TESTS["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == name
    ]
    assert True in results and False in results, results


def test_no_runbook_and_no_test_is_left_of_an_alert_that_is_gone():
    names = {alert["alert"] for alert in ALERTS}
    assert len(names) == len(ALERTS)
    assert set(re.findall(r"^### (Jeton\w+)$", OPERATIONS, re.MULTILINE)) == names
    assert {case["alertname"] for test in TESTS["tests"] for case in test["alert_rule_test"]} == names


def test_every_link_of_the_runbooks_leads_to_a_heading():
    headings = re.findall(r"^#+ (.*)$", OPERATIONS, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = set(re.findall(r"\]\(#([^)]*)\)", OPERATIONS))
    assert links - anchors == set()


def test_the_dashboard_is_whole():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        squares = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not squares & taken, f"{panel['title']} lies over another panel"
        taken |= squares
        if panel["type"] == "row":
            continue
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            assert "$instance" in target["expr"], panel["title"]
            assert target["datasource"]["uid"] == "${datasource}"


def promtool(*arguments, **options):
    """Runs promtool, and returns its exit code and what it says."""
    program = shutil.which("promtool")
    assert program, "`make monitoring` installs promtool"
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, **options)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.interop
def test_promtool_accepts_the_rules_and_their_tests():
    for arguments in (["check", "rules", "alerts.yml"], ["test", "rules", "tests.yml"]):
        code, said = promtool(*arguments, cwd=MONITORING, stdin=subprocess.DEVNULL)
        assert code == 0 and "SUCCESS" in said, said


@pytest.mark.interop
def test_promtool_tells_when_an_alert_does_not_fire(tmp_path):
    rules = (MONITORING / "alerts.yml").read_text()
    altered = rules.replace("jeton_key_files_missing > 0", "jeton_key_files_missing > 1")
    assert altered != rules
    (tmp_path / "alerts.yml").write_text(altered)
    shutil.copy(MONITORING / "tests.yml", tmp_path)
    code, said = promtool("test", "rules", "tests.yml", cwd=tmp_path, stdin=subprocess.DEVNULL)
    assert code == 1 and "JetonKeyMissing" in said, said


def as_older_format(text: str) -> str:
    """Returns metrics in the format that `promtool check metrics` reads: OpenMetrics has a type that it does not have,
    and names a counter without `_total` where it tells its type."""
    for name, kind in types_of(text).items():
        end, older = {"counter": ("_total", "counter"), "info": ("_info", "gauge")}.get(kind, ("", kind))
        text = text.replace(f"# HELP {name} ", f"# HELP {name}{end} ")
        text = text.replace(f"# TYPE {name} {kind}\n", f"# TYPE {name}{end} {older}\n")
    return text


@pytest.mark.interop
def test_promtool_accepts_the_metrics(exported):
    assert promtool("check", "metrics", input=as_older_format(exported)) == (0, "")


@pytest.mark.interop
def test_promtool_tells_of_a_metric_without_a_help_text(exported):
    altered = re.sub("# HELP jeton_ready .*\n", "", as_older_format(exported))
    code, said = promtool("check", "metrics", input=altered)
    assert code != 0 and said == "jeton_ready no help text\n"
