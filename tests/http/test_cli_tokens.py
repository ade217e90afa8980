"""`hatchpay token` and `hatchpay signing-keys` as a shell sees them, alone and beside running servers."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jwt as pyjwt
import pytest
from tests.support.issuer import FakeIssuer
from tests.support.server import HATCHPAY, ROOT, Server, hatchpay, onboard, serving

from hatchpay.app.command import program
from hatchpay.cli.errors import run
from hatchpay.tokens import apikey, signing
from hatchpay.tokens.signing import generate

JWKS = "/.well-known/jwks.json"
READ_ROLES = "access.roles.read"


class Shop:
    """A data directory with one tenant, "Demo".

    `tried` runs a command in this process, which is ten times as fast as in its own; `said` expects an exit code.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        onboarded = onboard(data_dir)
        self.tenant_id: str = onboarded["tenant"]["id"]
        self.key_id: str = onboarded["api_key"]["id"]
        self.key: str = onboarded["api_key"]["key"]

    def tried(self, *arguments: str) -> tuple[int, str, str]:
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(program(), ["--data-dir", str(self.data_dir), *arguments])
        out.seek(0)
        return code, out.read(), err.getvalue()

    def said(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        ended, out, err = self.tried(*arguments)
        assert ended == code, err
        return out, err

    def json(self, *arguments: str) -> Any:
        return json.loads(self.said(*arguments, "--json")[0])

    def token(self, *options: str, key: str | None = None) -> str:
        out, err = self.said("token", "issue", "--key", key or self.key, *options)
        assert err == ""
        return out.removesuffix("\n")

    def inspect(self, token: str) -> Any:
        return self.json("token", "inspect", token)

    def made(self, *roles: str) -> Any:
        key = self.json("keys", "create", "Till")
        if roles:
            self.json("keys", "roles", key["id"], *roles)
        return key

    def kids(self) -> dict[str, str]:
        """kid to status."""
        return {key["kid"]: key["status"] for key in self.json("signing-keys", "list")["data"]}

    def records(self, *conditions: str) -> list[Any]:
        records: list[Any] = self.json("audit", "history", "--route", "hatchpay token issue", *conditions)["data"]
        return records


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Tests may add to it; what one takes away is what it has made."""
    return Shop(tmp_path_factory.mktemp("tokens") / "var")


def status(server: Server, token: str, path: str = "/roles") -> int:
    return httpx.get(server.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=30).status_code


def soon(holds: Callable[[], bool]) -> None:
    """Within the time that a change may take to reach another process, and much more on a busy machine."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def claims_of(token: str) -> Any:
    return pyjwt.decode(token, options={"verify_signature": False})


def kid_of(token: str) -> str:
    kid: str = pyjwt.get_unverified_header(token)["kid"]
    return kid


def published(server: Server) -> list[str]:
    return [key["kid"] for key in httpx.get(server.url + JWKS, timeout=30).json()["keys"]]


def test_a_shell_gets_the_token_and_nothing_else(shop: Shop) -> None:
    command = " ".join([*HATCHPAY, "token", "issue", "--key", "-", "--data-dir", str(shop.data_dir)])
    script = f'read -r KEY; TOKEN=$(printf "%s\\n" "$KEY" | {command}); printf "[%s]" "$TOKEN"'
    done = subprocess.run(
        ["bash", "-c", script], input=f"{shop.key}\n", cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert re.fullmatch(r"\[[\w-]+\.[\w-]+\.[\w-]+\]", done.stdout)
    assert done.stderr == ""
    assert shop.inspect(done.stdout[1:-1])["principal_id"] == shop.key_id


def test_json_is_what_the_token_endpoint_would_answer(shop: Shop) -> None:
    answer = shop.json("token", "issue", "--key", shop.key, "--scope", READ_ROLES, "--expires-in", "60")
    token = answer.pop("access_token")
    assert answer == {"token_type": "Bearer", "expires_in": 60, "scope": READ_ROLES}
    assert claims_of(token)["scope"] == READ_ROLES


def test_servers_accept_the_token_whether_they_started_before_or_after(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "var")
    early = shop.token()
    with serving(shop.data_dir, None) as server:
        late = shop.token("--scope", READ_ROLES)
        assert claims_of(late)["iss"] == server.url
        for token in (early, late):
            soon(lambda token=token: status(server, token) == 200)
        assert status(server, early, "/v1/api-key/keys") == 200
        assert status(server, late, "/v1/api-key/keys") == 403
        named = shop.json("audit", "history", "--principal-id", shop.key_id, "--status", "200")["data"]
        assert {record["token_id"] for record in named} == {claims_of(token)["jti"] for token in (early, late)}
    with serving(shop.data_dir, None) as server:
        for token in (early, late):
            assert status(server, token) == 200


def test_the_record_of_a_token_is_found_by_its_id(shop: Shop) -> None:
    token = shop.token("--scope", READ_ROLES)
    (record,) = shop.records("--request-id", claims_of(token)["jti"])
    assert (record["principal_id"], record["key_id"]) == (f"local:{os.getuid()}", shop.key_id)
    assert (record["state"], record["status"], record["tenant_id"]) == ("completed", 200, shop.tenant_id)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--scope", f"{READ_ROLES} no.such.thing"], 2, "invalid_scope"),
        (["--expires-in", "43201"], 2, "expires_in"),
        (["--expires-in", "soon"], 2, "--expires-in"),
        (["--tenant", "Nobody"], 1, "there is no such tenant"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(shop: Shop, options: list[str], code: int, said: str) -> None:
    out, err = shop.said("token", "issue", "--key", shop.key, *options, code=code)
    assert out == ""
    assert said in err


def test_a_key_that_does_not_work_is_refused_with_its_reason_in_one_line(shop: Shop) -> None:
    key = shop.made("viewer")
    shop.json("keys", "disable", key["id"])
    shop.json("token", "issue", "--key", shop.key)
    lines = {
        key["key"]: "hatchpay: the API key is disabled (key_disabled)\n",
        key["id"]: "hatchpay: the API key is disabled (key_disabled)\n",
        apikey.issue(key["id"], "live").text: "hatchpay: the secret in the API key is not that of the key with its id "
        "(key_secret_wrong)\n",
    }
    for text, line in lines.items():
        assert shop.said("token", "issue", "--key", text, code=1) == ("", line)
    refused = shop.records("--status", "401")[:3]
    assert [record["reason"] for record in refused] == ["key_secret_wrong", "key_disabled", "key_disabled"]
    assert {(record["state"], record["claimed_key_id"]) for record in refused} == {("refused", key["id"])}


def test_the_text_of_a_key_is_nowhere(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "var")
    other = shop.json("tenants", "onboard", "Other")["api_key"]["key"]
    printed = ""
    for arguments in (
        ["--key", shop.key],
        ["--key", shop.key, "--tenant", "Other"],
        ["--key", other, "--scope", "no.such.thing"],
        ["--key", other, other],
        ["--key", f"{other}0"],
        ["--scope", READ_ROLES, shop.key],
        ["--key", shop.key, "--expires-in", shop.key],
        ["--key", shop.key, "--tenant", shop.key],
    ):
        printed += "".join(shop.tried("token", "issue", *arguments)[1:])
    printed += shop.said("audit", "history", "--operator", "--json")[0]
    for tenant in ("Demo", "Other"):
        printed += shop.said("audit", "history", "--tenant", tenant, "--json")[0]
    stored = b"".join(path.read_bytes() for path in shop.data_dir.rglob("*") if path.is_file())
    for key in (shop.key, other):
        secret = key[len("hp_live_") + 22 :]
        assert secret not in printed
        assert secret.encode() not in stored


def test_by_its_id_a_key_of_the_named_tenant_is_meant(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "var")
    assert claims_of(shop.token(key=shop.key_id))["client_id"] == shop.key_id
    shop.json("tenants", "onboard", "Other")
    assert "--tenant" in shop.said("token", "issue", "--key", shop.key_id, code=2)[1]
    assert "no such API key" in shop.said("token", "issue", "--key", shop.key_id, "--tenant", "Other", code=1)[1]
    assert claims_of(shop.token("--tenant", "Demo", key=shop.key_id))["client_id"] == shop.key_id
    assert claims_of(shop.token())["tenant"] == shop.tenant_id


def test_an_accepted_token_is_inspected_without_a_server(shop: Shop) -> None:
    token = shop.token("--scope", READ_ROLES)
    found = shop.inspect(token)
    assert found["claims"] == claims_of(token)
    assert found["header"] == pyjwt.get_unverified_header(token)
    assert (found["verdict"], found["reason"]) == ("accepted", None)
    assert (found["principal_id"], found["tenant_id"], found["permissions"]) == (
        shop.key_id,
        shop.tenant_id,
        [READ_ROLES],
    )


def test_inspecting_says_what_has_become_of_a_token_since(shop: Shop) -> None:
    key = shop.made("viewer")
    token = shop.token("--scope", READ_ROLES, key=key["key"])
    shop.json("keys", "roles", key["id"], "--none")
    assert (shop.inspect(token)["verdict"], shop.inspect(token)["permissions"]) == ("accepted", [])
    shop.json("keys", "disable", key["id"])
    found = shop.inspect(token)
    assert (found["verdict"], found["reason"]) == ("refused", "token_key_disabled")
    assert (found["principal_id"], found["permissions"]) == (None, [])
    assert found["claims"]["scope"] == READ_ROLES


def test_an_expired_token_is_told(shop: Shop) -> None:
    token = shop.token("--expires-in", "1")
    soon(lambda: shop.inspect(token)["verdict"] == "refused")
    printed = shop.said("token", "inspect", token)[0].splitlines()
    assert printed[-3:] == ["verdict refused", "reason token_expired", "The token would be refused: it has expired."]


def foreign() -> str:
    return FakeIssuer("https://id.test").token()


@pytest.mark.parametrize(
    ("token", "reason", "header", "claims"),
    [
        (foreign, "token_issuer_unknown", True, True),
        (lambda: foreign() + ".x", "token_parts_wrong", True, True),
        (lambda: foreign().replace(".", ".=", 1), "token_characters_invalid", True, False),
        (lambda: "e30.e30.", "token_algorithm_missing", True, True),
        (lambda: "garbage", "token_parts_wrong", False, False),
        (lambda: "\x1b[2J.\u202e.\udcff", "token_characters_invalid", False, False),
        (lambda: f"{foreign()}{'A' * 16_384}", "token_too_long", True, True),
    ],
)
def test_whatever_is_inspected_the_command_has_done_its_work(
    shop: Shop, token: Callable[[], str], reason: str, header: bool, claims: bool
) -> None:
    text = token()
    found = shop.inspect(text)
    assert (found["verdict"], found["reason"]) == ("refused", reason)
    assert (found["header"] is not None, found["claims"] is not None) == (header, claims)
    assert found["explanation"].endswith(".")
    table = shop.said("token", "inspect", text)[0]
    assert table.replace("\n", "").isprintable()
    assert f"reason {reason}\n" in table


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_neither_the_signature_nor_the_whole_token_is_printed(shop: Shop, form: list[str]) -> None:
    for token in (shop.token(), foreign()):
        for arguments in ([token], [token, token], ["Bearer", token]):
            _, out, err = shop.tried("token", "inspect", *arguments, *form)
            for part in token.split("."):
                assert part not in out + err


def test_a_token_is_inspected_from_a_pipe(shop: Shop) -> None:
    for arguments in ([], ["-"]):
        done = subprocess.run(
            [*HATCHPAY, "token", "inspect", "--json", "--data-dir", str(shop.data_dir), *arguments],
            input=f"\n{shop.token()}\n",
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert json.loads(done.stdout)["verdict"] == "accepted"


@pytest.mark.parametrize(
    "command",
    [
        ["token", "issue", "--key", "-"],
        ["token", "inspect", "a.b.c"],
        ["signing-keys", "list"],
        ["signing-keys", "rotate"],
        ["signing-keys", "retire", "x"],
    ],
)
def test_nothing_here_begins_a_data_directory(tmp_path: Path, command: list[str]) -> None:
    var = tmp_path / "var"
    done = subprocess.run(
        [*HATCHPAY, *command, "--data-dir", str(var)], cwd=ROOT, input="", capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("begins there (no_data)\n")
    assert not var.exists()


def test_a_new_signing_key_is_published_before_it_signs(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "var")
    with serving(shop.data_dir, None) as server:
        (first,) = published(server)
        old = shop.token()
        assert kid_of(old) == first
        made = shop.json("signing-keys", "rotate")
        assert (made["status"], made["algorithm"], made["ends_at"]) == ("next", "EdDSA", None)
        soon(lambda: published(server) == [made["kid"], first])
        assert shop.kids() == {made["kid"]: "next", first: "signing"}
        assert kid_of(shop.token()) == first

        with server.client(shop.key) as client:
            form = {"grant_type": "client_credentials"}
            assert kid_of(client.post("/v1/auth/token", data=form).json()["access_token"]) == first
            third = shop.json("signing-keys", "rotate", "--algorithm", "ES256", "--publish-for", "0")
            assert (third["status"], third["algorithm"]) == ("signing", "ES256")
            new = shop.token()
            assert kid_of(new) == third["kid"]
            soon(lambda: kid_of(client.post("/v1/auth/token", data=form).json()["access_token"]) == third["kid"])
        assert shop.kids() == {made["kid"]: "next", third["kid"]: "signing", first: "published"}
        for token in (old, new):
            assert status(server, token) == 200

        assert shop.json("signing-keys", "retire", first)["status"] == "retired"
        soon(lambda: status(server, old) == 401)
        assert status(server, new) == 200
        assert first not in published(server)
        assert shop.inspect(old)["reason"] == "token_kid_unknown"


def test_the_key_that_signs_is_retired_by_force_only(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "var")
    with serving(shop.data_dir, None) as server:
        token = shop.token()
        (kid,) = shop.kids()
        soon(lambda: status(server, token) == 200)
        out, err = shop.said("signing-keys", "retire", kid, code=1)
        assert (out, "signing_key_current" in err) == ("", True)
        assert status(server, token) == 200
        assert shop.json("signing-keys", "retire", "--force", kid)["status"] == "retired"
        soon(lambda: status(server, token) == 401)
        assert published(server) == []
        with server.client(shop.key) as client:
            answer = client.post("/v1/auth/token", data={"grant_type": "client_credentials"})
            assert (answer.status_code, answer.json()["code"]) == (503, "signing_key_missing")
        again = shop.token()
        soon(lambda: status(server, again) == 200)
        assert published(server) == [kid_of(again)]


def test_what_is_done_to_signing_keys_is_in_the_operators_log(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "var")
    kid = shop.json("signing-keys", "rotate", "--publish-for", "0")["kid"]
    shop.said("signing-keys", "retire", kid, code=1)
    shop.json("signing-keys", "retire", "--force", kid)
    done, refused, made = shop.json("audit", "history", "--operator", "--limit", "3")["data"]
    assert [record["route"] for record in (made, refused, done)] == [
        "hatchpay signing-keys rotate",
        "hatchpay signing-keys retire",
        "hatchpay signing-keys retire",
    ]
    assert (refused["state"], refused["reason"]) == ("refused", "signing_key_current")
    assert [change["event"] for change in made["changes"]] == ["platform.signing_keys.added"]
    assert [change["event"] for change in done["changes"]] == ["platform.signing_keys.retired"]
    assert {change["actor"] for change in made["changes"] + done["changes"]} == {f"local:{os.getuid()}"}


def test_tables_show_signing_keys_and_no_private_half(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "var")
    shown = dict(line.split() for line in shop.said("signing-keys", "rotate", "--publish-for", "0")[0].splitlines())
    assert (shown["status"], shown["signs_from"].endswith("Z")) == ("signing", True)
    heading, row = shop.said("signing-keys", "list")[0].splitlines()
    assert heading.split() == ["kid", "algorithm", "status", "signs_from", "ends_at"]
    assert row.split() == [shown["kid"], "EdDSA", "signing", shown["signs_from"], "-"]
    unknown = shop.said("signing-keys", "retire", "no-such-kid", code=2)[1]
    assert unknown == "hatchpay: there is no signing key with this kid (invalid_field)\n"
    assert "--publish-for" in shop.said("signing-keys", "rotate", "--publish-for", "-1", code=2)[1]
    assert "publish_for" in shop.said("signing-keys", "rotate", "--publish-for", "2592001", code=2)[1]


def test_a_kid_may_look_like_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(tmp_path / "var")
    for form in (["KID"], ["--force", "KID"], ["KID", "--force"], ["--force", "--", "KID"]):
        key = next(key for key in iter(lambda: generate("EdDSA"), None) if key.kid.startswith("-") and "h" in key.kid)
        monkeypatch.setattr(signing, "generate", lambda _, key=key: key)
        shop.json("signing-keys", "rotate", "--publish-for", "0")
        code = 0 if "--force" in form else 1
        printed = shop.said("signing-keys", "retire", *[key.kid if part == "KID" else part for part in form], code=code)
        assert ("signing_key_current" in printed[1]) == (code == 1)
        assert shop.kids()[key.kid] == ("signing" if code else "retired")


def serve(shop: Shop) -> subprocess.CompletedProcess[str]:
    """Where it does not start."""
    return hatchpay(shop.data_dir, "serve", "--port", "0", "--admin-port", "0", check=False)


def test_a_lost_key_encryption_key_stops_everything_until_the_signing_keys_are_retired(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "var")
    old = shop.token()
    shop.json("signing-keys", "rotate")
    kek = shop.data_dir / "secrets" / "kek.key"
    kek.unlink()
    served = serve(shop)
    assert served.returncode == 1
    rotated = shop.said("signing-keys", "rotate", code=1)
    issued = shop.said("token", "issue", "--key", shop.key, code=1)
    for out, err in ((served.stdout, served.stderr), rotated, issued):
        assert out == ""
        assert len(err.splitlines()) == 1
        assert "kek.key is gone" in err
        assert "restore its backup" in err
        assert "hatchpay signing-keys retire KID --force" in err
    assert not kek.exists()
    assert shop.records("--status", "500")[0]["reason"] == "invalid_setting"

    first, *rest = shop.kids()
    assert shop.json("signing-keys", "retire", "--force", first)["status"] == "retired"
    assert shop.said("signing-keys", "rotate", code=1)[0] == ""
    assert serve(shop).returncode == 1
    for kid in rest:
        shop.json("signing-keys", "retire", "--force", kid)

    made = shop.json("signing-keys", "rotate")
    assert made["status"] == "signing"
    assert kek.stat().st_mode & 0o777 == 0o600
    with serving(shop.data_dir, None) as server:
        assert published(server) == [made["kid"]]
        assert status(server, old) == 401
        assert status(server, shop.token()) == 200


def test_without_any_living_signing_key_a_server_begins_anew(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "var")
    old = kid_of(shop.token())
    (shop.data_dir / "secrets" / "kek.key").unlink()
    shop.json("signing-keys", "retire", "--force", old)
    with serving(shop.data_dir, None) as server:
        (kid,) = published(server)
        assert kid != old
        assert status(server, shop.token()) == 200
    assert hatchpay(shop.data_dir, "doctor").returncode == 0


def test_the_key_encryption_key_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HATCHPAY_KEK", "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=")
    shop = Shop(tmp_path / "var")
    token = shop.token()
    assert shop.inspect(token)["verdict"] == "accepted"
    assert not (shop.data_dir / "secrets" / "kek.key").exists()
    monkeypatch.setenv("HATCHPAY_KEK", "not base64!")
    err = shop.said("token", "issue", "--key", shop.key, code=1)[1]
    assert "HATCHPAY_KEK holds something that is not base64" in err
    assert "not base64!" not in err


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_key_from_standard_input_is_not_in_the_process_list(shop: Shop) -> None:
    process = subprocess.Popen(
        [*HATCHPAY, "token", "issue", "--key", "-", "--data-dir", str(shop.data_dir)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    seen = Path(f"/proc/{process.pid}/cmdline").read_text()
    out, _ = process.communicate(shop.key, timeout=30)
    assert process.returncode == 0
    assert shop.key not in seen
    assert shop.inspect(out.strip())["verdict"] == "accepted"
