"""What is written about HatchPay is run, generated or checked here."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from docs.generate import REFERENCE, reference
from tests.support.server import ROOT, Server, hatchpay, onboard, serving

from hatchpay.access.policy_check import Vocabulary, check
from hatchpay.access.route_form import parse_fields, parse_unit

_SAMPLE = Vocabulary(
    frozenset({"payment-proxy.transactions.create", "payment-proxy.transactions.read"}),
    {"payment-proxy.transactions.create": {"amount": "decimal", "currency": "string"}},
)
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])


def test_the_reference_is_what_the_code_says() -> None:
    assert REFERENCE.read_text() == reference(), "run: python -m docs.generate"


@pytest.mark.parametrize(
    "file",
    [
        "examples/first_steps.sh",
        "examples/tokens.sh",
        "examples/explain.sh",
        "examples/limits.sh",
        "examples/policies.sh",
        "examples/least_privilege.sh",
        "examples/embedded.py",
    ],
)
def test_the_readme_shows_the_examples_as_they_are(file: str) -> None:
    assert (ROOT / file).read_text().rstrip("\n") in README


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_leads_nowhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_every_command_in_the_readme_exists(tmp_path: Path) -> None:
    shown = re.findall(r"^hatchpay ((?:[a-z][a-z-]* ?)+)", README, flags=re.MULTILINE)
    assert len(shown) >= 7
    for words in shown:
        command = [word for word in words.split() if word not in {"viewer"}][:2]
        assert hatchpay(tmp_path, *command, "--help").returncode == 0


def test_the_embedded_example_is_twenty_lines_and_protects(tmp_path: Path) -> None:
    source = (ROOT / "examples/embedded.py").read_text()
    assert len([line for line in source.splitlines() if line.strip()]) <= 20
    script = """
import asyncio, json, sys, uvicorn
from examples.embedded import app
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)
Server(uvicorn.Config(app, port=0, log_level="warning")).run()
"""
    environment = {**os.environ, "HATCHPAY_DATA_DIR": str(tmp_path / "var")}
    tenant = hatchpay(tmp_path / "var", "tenants", "onboard", "Demo", "--json").stdout
    key = re.search(r"hp_live_\w+", tenant)
    assert key is not None
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        refused = httpx.get(f"{url}/v1/greetings/ann")
        greeted = httpx.get(f"{url}/v1/greetings/ann", headers={"X-API-Key": key[0]})
        elsewhere = httpx.get(f"{url}/v1/greetings", headers={"X-API-Key": key[0]})
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()
    assert (refused.status_code, greeted.status_code, elsewhere.status_code) == (401, 200, 403)
    assert greeted.json()["greeting"] == "Hello ann"
    history = hatchpay(tmp_path / "var", "audit", "history", "--json").stdout
    assert greeted.headers["HatchPay-Request-Id"] in history


def pasted(file: str, server: Server, key: str) -> str:
    """What the example prints that the README shows, pasted with an admin key at hand."""
    done = subprocess.run(
        ["bash", "-e", file],
        cwd=ROOT,
        env={**os.environ, "URL": server.url, "ADMIN_KEY": key},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_export_of_the_document_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    script = (ROOT / "examples/export.sh").read_text()
    assert script.rstrip("\n") in (ROOT / "docs/export.md").read_text()
    key = onboard(tmp_path / "var")["api_key"]["key"]
    with serving(tmp_path / "var", None) as server:
        with server.client(key) as client:
            for _ in range(20):
                client.get("/roles")

        def run() -> bytes:
            environment = {**os.environ, "URL": server.url, "ADMIN_KEY": key}
            subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=environment, check=True)
            return (tmp_path / "audit.jsonl").read_bytes()

        whole = run()
        for size in (len(whole) // 2, whole.index(b"\n") + 1, 5):
            (tmp_path / "audit.jsonl").write_bytes(whole[:size])
            assert run() == whole
    assert len(whole.splitlines()) == 20


def test_the_token_of_the_readme_does_what_its_scope_says_until_it_is_revoked(tmp_path: Path) -> None:
    key = onboard(tmp_path / "var")["api_key"]["key"]
    with serving(tmp_path / "var") as server:
        printed = pasted("examples/tokens.sh", server, key)
    assert printed.splitlines() == ["roles 200", "keys 403", "revoked 401"]


def test_the_question_of_the_readme_leads_to_the_smallest_role_that_will_do(tmp_path: Path) -> None:
    made = onboard(tmp_path / "var")["api_key"]
    with serving(tmp_path / "var") as server:
        printed = pasted("examples/explain.sh", server, made["key"])
        options = ("--routes", "examples/payments_api/routes.toml")
        path = "/v1/payment-proxy/transactions"
        beside = hatchpay(tmp_path / "var", "explain", made["id"], "GET", path, *options)
    denied, allowed = (json.loads(text + "}") for text in printed.split("\n}")[:2])
    assert (denied["decision"], denied["missing"]) == ("deny", "payment-proxy.transactions.read")
    assert denied["roles_that_grant"][0]["name"] == "viewer"
    assert (allowed["decision"], allowed["rule"]) == ("allow", "role:viewer")
    assert beside.stdout.startswith("allow: role_grants, by role:admin\n")


def test_the_least_privilege_of_the_readme_leaves_what_was_used(tmp_path: Path) -> None:
    key = onboard(tmp_path / "var")["api_key"]["key"]
    with serving(tmp_path / "var") as server:
        printed = pasted("examples/least_privilege.sh", server, key)
    assert printed.splitlines() == [
        "['access.roles.read', 'payment-proxy.transactions.read']",
        "2",
        "roles 200",
        "keys 403",
    ]


def test_the_limit_of_the_readme_lets_three_requests_through(tmp_path: Path) -> None:
    key = onboard(tmp_path / "var")["api_key"]["key"]
    with serving(tmp_path / "var") as server:
        printed = pasted("examples/limits.sh", server, key)
    lines = [line.split(" ") for line in printed.splitlines()]
    assert [(line[0], line[1].rpartition(";")[0]) for line in lines] == [
        ("200", '"key";r=2'),
        ("200", '"key";r=1'),
        ("200", '"key";r=0'),
        ("429", '"key";r=0'),
    ]
    assert [line[2].isdigit() for line in lines] == [False, False, False, True]


def test_the_policy_of_the_readme_forbids_until_it_is_deleted(tmp_path: Path) -> None:
    key = onboard(tmp_path / "var")["api_key"]["key"]
    with serving(tmp_path / "var") as server:
        printed = pasted("examples/policies.sh", server, key)
    refused, allowed = printed.splitlines()
    assert '"code":"policy_forbids"' in refused
    assert (refused.split()[-1], allowed) == ("403", "200")


def test_the_policies_of_the_documentation_are_what_the_examples_and_the_code_say() -> None:
    written = (ROOT / "docs" / "policies.md").read_text()
    for example in (ROOT / "examples" / "policies").glob("*.cedar"):
        assert example.name in written
    for code in ("policy_forbids", "policy_input_missing", "policy_error", "policy_invalid", "policy_permits"):
        assert f"`{code}`" in written
    for block in re.findall(r"```cedar\n(.*?)```", written, flags=re.DOTALL):
        assert check(block, _SAMPLE)


def test_the_business_units_of_the_documentation_are_what_routes_and_refusals_say() -> None:
    written = (ROOT / "docs" / "business-units.md").read_text()
    sources = re.findall(r"^business_unit = .*$", written, flags=re.MULTILINE)
    places = [source.place for line in sources for source in parse_unit(tomllib.loads(line)["business_unit"], "here")]
    assert places == ["path", "query", "body", "path", "body", "handler"]
    for code in ("unclear", "unknown", "archived", "missing", "not_allowed", "not_separable"):
        assert f"| `business_unit_{code}` |" in written


def test_the_body_fields_of_the_documentation_can_be_declared() -> None:
    written = (ROOT / "docs" / "policies.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", written, flags=re.DOTALL)
    (route,) = tomllib.loads(block)["routes"]
    assert {field.name: field.type for field in parse_fields(route["body_fields"], "here")} == {
        "currency": "string",
        "amount": "decimal",
    }


@contextmanager
def run(data_dir: Path) -> Iterator[tuple[str, str]]:
    """`make run` without the installation: what it has printed until it answers, and where that is."""
    environment = {**os.environ, "HATCHPAY_DATA_DIR": str(data_dir), "HATCHPAY_PORT": "0", "HATCHPAY_ADMIN_PORT": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.run"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        printed = ""
        while "HatchPay serves" not in printed:
            line = process.stdout.readline()
            assert line, "it ended before it served"
            printed += line
        yield printed, printed.split()[-1]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
        process.stdout.close()


def test_the_printed_lines_do_what_they_say_and_a_second_start_keeps_all(tmp_path: Path) -> None:
    with run(tmp_path / "var") as (printed, url):
        (key,) = set(re.findall(r"hp_live_\w{61}", printed))
        lines = printed[printed.index("export ADMIN_KEY") : printed.index("HatchPay serves")]
        pasted = subprocess.run(
            ["bash", "-e", "-c", lines], cwd=ROOT, env={**os.environ, "URL": url}, text=True, capture_output=True
        )
        assert pasted.returncode == 0, pasted.stderr
        assert '"state":"completed"' in pasted.stdout
        assert '"url": "/v1/payment-proxy/transactions"' in pasted.stdout
        assert key not in pasted.stdout
    with run(tmp_path / "var") as (printed, url):
        assert "hp_" not in printed
        with httpx.Client(base_url=url, headers={"X-API-Key": key}) as client:
            keys = client.get("/v1/api-key/keys").json()["data"]
            transactions = client.get("/v1/payment-proxy/transactions").json()["data"]
        assert sorted(item["name"] for item in keys) == ["Tenant API key", "Tenant API key"]
        assert len(transactions) == 1


def test_the_page_about_streams_names_what_there_is() -> None:
    from hatchpay.app.stream_watch import StreamWatch
    from hatchpay.audit.stream.batches import MAX_BYTES, MAX_EVENTS
    from hatchpay.audit.stream.pace import Pace
    from hatchpay.audit.stream.syslog import MAX_MESSAGE
    from hatchpay.store.stream_health import MOST_COUNTED

    written = (ROOT / "docs" / "streams.md").read_text()
    told = re.findall(r"^\| `((?:stream|sealed)_[a-z_]+)` \|", written, flags=re.MULTILINE)
    source = "".join(file.read_text() for file in (ROOT / "src").rglob("stream*.py"))
    source += "".join(file.read_text() for file in (ROOT / "src/hatchpay/audit/stream").glob("*.py"))
    assert set(told) - {"sealed_unreadable"} <= set(re.findall(r'"(stream_[a-z_]+)"', source))
    assert set(re.findall(r'code="(stream_[a-z_]+)"', source)) - set(told) == {"stream_headers_needed"}
    metrics = {family.name for family in StreamWatch(list, lambda _: {}, 1).metrics()}
    assert {name.removesuffix("_total") for name in re.findall(r"`(hatchpay_stream_[a-z_]+)`", written)} == metrics
    pace = Pace()
    assert (pace.tries, pace.most_s, MAX_EVENTS, MAX_BYTES // 1024, MAX_MESSAGE, MOST_COUNTED) == (
        8,
        300,
        500,
        256,
        8192,
        100_000,
    )
