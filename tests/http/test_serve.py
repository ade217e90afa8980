"""`hatchpay serve`: where it starts, where it refuses to, what it says on its two ports, and how it ends."""

from __future__ import annotations

import datetime
import ipaddress
import json
import signal
import socket
import sqlite3
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.support.records import history, stored
from tests.support.server import hatchpay, onboard, serving

PROBE = "tests.support.probe:app"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


def refused(data_dir: Path, *options: str) -> str:
    done = hatchpay(data_dir, "serve", *options, "--port", "0", "--admin-port", "0", check=False)
    assert done.returncode in {1, 2}
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr


def test_a_public_address_needs_tls_or_a_declared_proxy(tmp_path: Path) -> None:
    assert "trusted_proxies" in refused(tmp_path / "var", PROBE, "--host", "0.0.0.0")


@pytest.mark.parametrize(
    ("application", "said"),
    [
        ("nowhere.at.all:app", "no module"),
        ("tests.support.probe:nothing", "has no nothing"),
        ("tests.support.probe", "module:attribute"),
        ("tests.support.records:history", "no route table"),
    ],
)
def test_an_application_that_cannot_be_served_is_named(tmp_path: Path, application: str, said: str) -> None:
    assert said in refused(tmp_path / "var", application)


def test_a_route_that_is_both_ours_and_the_applications_stops_the_start(tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text(
        '[[permissions]]\nname = "a.b.read"\ndescription = "x"\n'
        '[[routes]]\nmethod = "GET"\npath = "/{anything}"\npermission = "a.b.read"\n'
    )
    assert "clashes" in refused(tmp_path / "var", PROBE, "--routes", str(routes))


def test_a_taken_port_is_an_error_and_not_a_traceback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = hatchpay(tmp_path / "var", "serve", "--port", port, "--admin-port", "0", check=False)
    assert done.returncode == 1
    assert port in done.stderr
    assert "Traceback" not in done.stderr


def test_tls_serves_on_any_address(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = map(str, certificate)
    admin = onboard(tmp_path / "var")["api_key"]["key"]
    options = ("--host", "0.0.0.0", "--tls-cert", cert, "--tls-key", key)
    with serving(tmp_path / "var", PROBE, *options) as server:
        assert server.url.startswith("https://")
        context = ssl.create_default_context(cafile=cert)
        with httpx.Client(verify=context, base_url=f"https://127.0.0.1:{server.port}") as client:
            assert client.get("/probe/plain", headers={"X-API-Key": admin}).status_code == 200


def test_behind_a_declared_proxy_its_headers_count_and_nobody_else_may_connect(tmp_path: Path) -> None:
    admin = onboard(tmp_path / "var")["api_key"]["key"]
    forwarded = {"X-API-Key": admin, "X-Forwarded-For": "198.51.100.7, 203.0.113.9", "X-Request-ID": "from-the-proxy"}
    with serving(tmp_path / "var", PROBE, "--host", "0.0.0.0", "--trusted-proxy", "127.0.0.1/32") as server:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", headers={"X-API-Key": admin}) as client:
            answer = client.get("/probe/plain", headers=forwarded)
            (record,) = history(client, request_id=answer.headers["HatchPay-Request-Id"])
    assert (record["client_ip"], record["correlation_id"]) == ("203.0.113.9", "from-the-proxy")
    with serving(tmp_path / "var", PROBE, "--host", "0.0.0.0", "--trusted-proxy", "192.0.2.0/24") as server:
        answer = httpx.get(f"http://127.0.0.1:{server.port}/probe/plain", headers=forwarded)
    assert (answer.status_code, answer.json()["code"]) == (403, "insecure_transport")


def test_without_a_declared_proxy_forwarded_headers_are_nobodys_word(tmp_path: Path) -> None:
    admin = onboard(tmp_path / "var")["api_key"]["key"]
    with serving(tmp_path / "var", PROBE) as server, server.client(admin) as client:
        answer = client.get("/probe/plain", headers={"X-Forwarded-For": "198.51.100.7", "X-Request-ID": "mine"})
        (record,) = history(client, request_id=answer.headers["HatchPay-Request-Id"])
    assert (record["client_ip"], record["correlation_id"]) == ("127.0.0.1", None)


def test_health_and_metrics_have_a_port_of_their_own(tmp_path: Path) -> None:
    admin = onboard(tmp_path / "var")["api_key"]["key"]
    with serving(tmp_path / "var", PROBE) as server, server.client(admin) as client:
        client.get("/probe/plain")
        client.get("/nowhere")
        assert httpx.get(f"{server.admin_url}/healthz").json() == {"status": "ok"}
        assert httpx.get(f"{server.admin_url}/readyz").json() == {"status": "ok", "failing": []}
        metrics = httpx.get(f"{server.admin_url}/metrics")
        assert client.get("/healthz").status_code == 403
        assert httpx.get(f"{server.admin_url}/probe/plain").status_code == 404
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'hatchpay_requests_total{state="completed",status="200"} 1.0' in metrics.text
    assert 'hatchpay_refusals_total{reason="route_not_listed"} 1.0' in metrics.text
    assert "hatchpay_request_duration_seconds_bucket" in metrics.text
    assert "hatchpay_audit_healthy 1.0" in metrics.text
    assert admin not in metrics.text


def test_it_ends_in_order_when_told_to_and_answers_what_is_under_way(tmp_path: Path) -> None:
    data_dir = tmp_path / "var"
    admin = onboard(data_dir)["api_key"]["key"]
    answers: list[httpx.Response] = []
    with serving(data_dir, PROBE) as server:

        def ask() -> None:
            with server.client(admin) as client:
                answers.append(client.post("/probe/waits"))

        asking = threading.Thread(target=ask)
        asking.start()
        while not (data_dir / "runs").exists():
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        (data_dir / "handler-may-end").touch()
        assert server.process.wait(timeout=30) == 0
        asking.join()
        assert server.log.read_text() == ""
    assert [answer.status_code for answer in answers] == [200]
    assert stored(data_dir)[-1].state == "completed"
    assert list((data_dir / "instances").iterdir()) == []


def test_a_client_that_keeps_us_waiting_is_given_up_and_recorded(tmp_path: Path) -> None:
    admin = onboard(tmp_path / "var")["api_key"]["key"]
    head = f"POST /probe/echo HTTP/1.1\r\nHost: x\r\nX-API-Key: {admin}\r\n".encode()
    with serving(tmp_path / "var", PROBE, HATCHPAY_CLIENT_PATIENCE_S="1") as server:
        address = ("127.0.0.1", server.port)
        with (
            socket.create_connection(address, timeout=20) as silent,
            socket.create_connection(address, timeout=20) as half_head,
            socket.create_connection(address, timeout=20) as half_body,
            socket.create_connection(address, timeout=20) as refused_body,
        ):
            refused_body.sendall(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
            half_head.sendall(head)
            half_body.sendall(head + b"Content-Length: 9\r\n\r\nhalf")
            answer = until_closed(half_head)
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"request_timeout" in answer
            assert until_closed(silent) == until_closed(half_body) == b""
            assert b"credential_missing" in until_closed(refused_body)
    outcomes = {(record.reason, record.state, record.status) for record in stored(tmp_path / "var")}
    assert ("request_timeout", "refused", 408) in outcomes
    assert ("role_grants", "disconnected", None) in outcomes


def test_a_ledger_that_is_gone_is_not_begun_anew(tmp_path: Path) -> None:
    onboard(tmp_path / "var")
    (tmp_path / "var" / "ledger.db").unlink()
    assert "restore it" in refused(tmp_path / "var", PROBE)
    assert not (tmp_path / "var" / "ledger.db").exists()


def test_a_pepper_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    onboard(tmp_path / "var")
    (tmp_path / "var" / "secrets" / "pepper.json").unlink()
    assert "restore it" in refused(tmp_path / "var", PROBE)


def test_a_directory_that_is_restored_is_taken_up_by_the_running_server(tmp_path: Path) -> None:
    data_dir = tmp_path / "var"
    onboarded = onboard(data_dir)
    admin = onboarded["api_key"]["key"]
    with serving(data_dir, PROBE) as server, server.client(admin) as client:
        copy = data_dir / "copy.db"
        source, target = sqlite3.connect(data_dir / "directory.db"), sqlite3.connect(copy)
        source.backup(target)
        source.close()
        target.close()
        for name in ("directory.db-wal", "directory.db-shm"):
            (data_dir / name).unlink(missing_ok=True)
        copy.rename(data_dir / "directory.db")
        made = json.loads(hatchpay(data_dir, "keys", "create", "after", "--json").stdout)
        hatchpay(data_dir, "keys", "roles", made["id"], "admin")
        eventually(lambda: client.get("/probe/plain", headers={"X-API-Key": made["key"]}).status_code == 200)
        hatchpay(data_dir, "keys", "delete", onboarded["api_key"]["id"])
        eventually(lambda: client.get("/probe/plain").status_code == 401)


def test_a_directory_that_is_gone_ends_all_permission_until_it_is_back(tmp_path: Path) -> None:
    data_dir = tmp_path / "var"
    admin = onboard(data_dir)["api_key"]["key"]
    with serving(data_dir, PROBE) as server, server.client(admin) as client:
        (data_dir / "directory.db").rename(data_dir / "away")
        eventually(lambda: client.get("/probe/plain").status_code == 503)
        assert client.get("/probe/plain").json()["code"] == "directory_unavailable"
        assert httpx.get(f"{server.admin_url}/readyz").json()["failing"] == ["directory"]
        (data_dir / "away").rename(data_dir / "directory.db")
        eventually(lambda: client.get("/probe/plain").status_code == 200)


def until_closed(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(4096):
        received += part
    return received


def eventually(condition: Callable[[], bool]) -> None:
    """Polls; the limit is pytest's own patience, and far beyond what is waited for."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came true")
