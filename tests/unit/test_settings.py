"""Settings: where a value comes from, what is refused, and what is never shown."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import pytest
from rich.pretty import pretty_repr

from hatchpay.errors import SettingsError
from hatchpay.settings import Settings, describe, load

SECRET = "7Q2Xc0nF1dEnT1aL"

# One value for each setting, as text and as what becomes of it; none is its default.
W1 = "witness.example/w1+8d66cf3f+BA" + "A" * 42 + " http://10.0.0.7:8500"
W2 = "w2+8d66cf3f+BA" + "A" * 42 + " https://witness.example/log"
GIVEN: dict[str, tuple[str, object]] = {
    "data_dir": ("/srv/hatchpay", Path("/srv/hatchpay")),
    "host": ("0.0.0.0", "0.0.0.0"),
    "port": ("9000", 9000),
    "admin_host": ("::1", "::1"),
    "admin_port": ("9001", 9001),
    "routes": ("/etc/routes.toml", Path("/etc/routes.toml")),
    "trusted_proxies": ("10.0.0.0/8, 2001:db8::/32", ("10.0.0.0/8", "2001:db8::/32")),
    "tls_cert": ("/etc/cert.pem", Path("/etc/cert.pem")),
    "tls_key": ("/etc/key.pem", Path("/etc/key.pem")),
    "audit_patience_ms": ("250", 250),
    "client_patience_s": ("7", 7),
    "public_url": ("https://auth.example.com:8443", "https://auth.example.com:8443"),
    "token_life_s": ("60", 60),
    "issuer_keys_keep_s": ("3600", 3600),
    "allow_insecure_issuers": ("true", True),
    "allow_insecure_streams": ("true", True),
    "stream_lag_alarm_s": ("60", 60),
    "rate_limits_on_failure": ("allow", "allow"),
    "log_origin": ("audit.example.com/logs", "audit.example.com/logs"),
    "log_dir": ("/srv/logs", Path("/srv/logs")),
    "witnesses": (f"{W1}, {W2}", (W1, W2)),
    "witness_quorum": ("1", 1),
    "pepper": (f"1:{SECRET}", f"1:{SECRET}"),
    "kek": (SECRET, SECRET),
}


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _file(text: str, name: str = "given.toml") -> Path:
    path = Path(name)
    path.write_text(text, "utf-8")
    return path


def test_the_table_of_this_test_knows_every_setting() -> None:
    assert set(GIVEN) == set(Settings.__struct_fields__)
    assert all(getattr(Settings(), name) != value for name, (_, value) in GIVEN.items())


def test_without_any_source_everything_is_the_default() -> None:
    settings, sources = load({}, {})
    assert settings == Settings()
    assert sources == dict.fromkeys(GIVEN, "default")


def test_the_defaults_listen_on_loopback_only_and_trust_no_proxy() -> None:
    settings = Settings()
    assert ipaddress.ip_address(settings.host).is_loopback
    assert ipaddress.ip_address(settings.admin_host).is_loopback
    assert settings.proxy_networks == ()


def test_every_setting_can_come_from_its_variable() -> None:
    settings, sources = load({}, {f"HATCHPAY_{name.upper()}": text for name, (text, _) in GIVEN.items()})
    assert {name: getattr(settings, name) for name in GIVEN} == {name: value for name, (_, value) in GIVEN.items()}
    assert sources == dict.fromkeys(GIVEN, "environment")


def test_every_setting_can_come_from_the_file() -> None:
    file = _file(
        f"""
        data_dir = "/srv/hatchpay"
        host = "0.0.0.0"
        port = 9000
        admin_host = "::1"
        admin_port = 9001
        routes = "/etc/routes.toml"
        trusted_proxies = ["10.0.0.0/8", "2001:db8::/32"]
        tls_cert = "/etc/cert.pem"
        tls_key = "/etc/key.pem"
        audit_patience_ms = 250
        client_patience_s = 7
        public_url = "https://auth.example.com:8443"
        token_life_s = 60
        issuer_keys_keep_s = 3600
        rate_limits_on_failure = "allow"
        allow_insecure_issuers = true
        log_origin = "audit.example.com/logs"
        log_dir = "/srv/logs"
        witnesses = ["{W1}", "{W2}"]
        witness_quorum = 1
        allow_insecure_streams = true
        stream_lag_alarm_s = 60
        kek = "{SECRET}"
        pepper = "1:{SECRET}"
        """
    )
    settings, sources = load({}, {}, file)
    assert {name: getattr(settings, name) for name in GIVEN} == {name: value for name, (_, value) in GIVEN.items()}
    assert sources == dict.fromkeys(GIVEN, "file")


def test_an_option_beats_the_variable_which_beats_the_file_which_beats_the_default() -> None:
    file = _file('port = 1001\nadmin_port = 1002\naudit_patience_ms = 1003\nhost = "127.0.0.4"')
    environment = {"HATCHPAY_PORT": "2001", "HATCHPAY_ADMIN_PORT": "2002", "HATCHPAY_ADMIN_HOST": "127.0.0.5"}
    settings, sources = load({"port": 3001}, environment, file)
    assert (settings.port, settings.admin_port, settings.audit_patience_ms) == (3001, 2002, 1003)
    assert (settings.host, settings.admin_host) == ("127.0.0.4", "127.0.0.5")
    assert settings.data_dir == Path("var")
    assert (sources["port"], sources["admin_port"], sources["audit_patience_ms"], sources["data_dir"]) == (
        "option",
        "environment",
        "file",
        "default",
    )


def test_an_option_that_was_not_given_hides_nothing() -> None:
    settings, sources = load({"port": None, "host": None}, {"HATCHPAY_PORT": "2001"})
    assert (settings.port, sources["port"], sources["host"]) == (2001, "environment", "default")


def test_an_option_may_be_the_value_itself() -> None:
    assert load({"data_dir": Path("/a"), "port": 1}, {})[0].data_dir == Path("/a")


def test_the_process_environment_is_what_counts_where_none_is_handed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HATCHPAY_PORT", "2001")
    assert load()[0].port == 2001


def test_the_file_is_the_one_given_else_the_variables_else_the_one_that_lies_there() -> None:
    _file("port = 1", "hatchpay.toml")
    named = {"HATCHPAY_CONFIG": str(_file("port = 2", "named.toml"))}
    assert load({}, named, _file("port = 3"))[0].port == 3
    assert load({}, named)[0].port == 2
    assert load({}, {})[0].port == 1


@pytest.mark.parametrize("environment", [{}, {"HATCHPAY_CONFIG": "absent.toml"}])
def test_a_file_that_was_named_must_exist(environment: dict[str, str]) -> None:
    given = None if environment else Path("absent.toml")
    with pytest.raises(SettingsError, match=r"absent\.toml"):
        load({}, environment, given)


@pytest.mark.parametrize("content", [b"port = ", b"\xff\xfe", b"port = 1\nport = 2"])
def test_a_file_that_is_not_toml_is_named(content: bytes) -> None:
    path = Path("broken.toml")
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"broken\.toml is not TOML"):
        load({}, {}, path)


def test_an_unknown_setting_in_the_file_is_named() -> None:
    with pytest.raises(SettingsError, match="prot"):
        load({}, {}, _file("prot = 9000"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data_dir", "5"),
        ("host", "5"),
        ("port", '"http"'),
        ("port", "true"),
        ("port", "80.5"),
        ("admin_host", "[]"),
        ("admin_port", "{}"),
        ("routes", "[1]"),
        ("trusted_proxies", '"10.0.0.0/8"'),
        ("trusted_proxies", "[1]"),
        ("tls_cert", "true"),
        ("tls_key", "1979-05-27"),
        ("audit_patience_ms", '"soon"'),
        ("witnesses", '"one"'),
        ("witness_quorum", '"most"'),
        ("pepper", "12345"),
        ("kek", "12345"),
        ("public_url", "true"),
        ("token_life_s", '"long"'),
        ("issuer_keys_keep_s", "1.5"),
        ("allow_insecure_issuers", '"perhaps"'),
        ("allow_insecure_streams", '"perhaps"'),
    ],
)
def test_a_value_of_the_wrong_type_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"\b{name}\b"):
        load({}, {}, _file(f"{name} = {value}"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", ""),
        ("port", "8_400"),
        ("port", "-1"),
        ("port", "65536"),
        ("admin_port", "65536"),
        ("audit_patience_ms", "99"),
        ("trusted_proxies", "10.0.0.1/8"),
        ("trusted_proxies", "proxy.internal"),
        ("token_life_s", "0"),
        ("token_life_s", "43201"),
        ("issuer_keys_keep_s", "0"),
        ("stream_lag_alarm_s", "0"),
        ("public_url", "auth.example.com"),
        ("public_url", "https://auth.example.com/"),
        ("public_url", "https://auth.example.com/hatchpay"),
        ("public_url", "https://user@auth.example.com"),
        ("public_url", "ftp://auth.example.com"),
        ("allow_insecure_issuers", "perhaps"),
        ("witnesses", "https://witness.example"),
        ("witnesses", W1.partition(" ")[0]),
        ("witnesses", W1.replace("http:", "ftp:")),
        ("witnesses", W1.replace(" ", "  ")),
        ("witnesses", W1 + "?a=b"),
        ("witnesses", W1.replace("//", "//user@")),
        ("witness_quorum", "1"),
        ("witness_quorum", "0"),
    ],
)
def test_a_value_out_of_bounds_is_named(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"\b{name}\b"):
        load({}, {f"HATCHPAY_{name.upper()}": text})


@pytest.mark.parametrize("text", ["0", "65535"])
def test_the_bounds_of_a_port_are_ports(text: str) -> None:
    assert load({}, {"HATCHPAY_PORT": text})[0].port == int(text)


@pytest.mark.parametrize("name", ["tls_cert", "tls_key"])
def test_a_certificate_without_its_key_or_a_key_without_its_certificate_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="tls_cert and tls_key"):
        load({name: "/a.pem"}, {})


def test_networks_are_separated_by_commas_and_empty_ones_do_not_count() -> None:
    settings, _ = load({}, {"HATCHPAY_TRUSTED_PROXIES": " 10.0.0.0/8 ,, 192.0.2.7,"})
    assert settings.proxy_networks == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("192.0.2.7/32"))
    assert load({}, {"HATCHPAY_TRUSTED_PROXIES": ""})[0].proxy_networks == ()


def test_no_secret_is_in_any_text_of_the_settings() -> None:
    settings, sources = load({}, {"HATCHPAY_PEPPER": f"1:{SECRET}", "HATCHPAY_KEK": SECRET})
    described = describe(settings, sources)
    for text in (repr(settings), str(settings), f"{settings}", pretty_repr(settings), repr(described)):
        assert SECRET not in text
    shown = {row.name: row.value for row in described}
    assert (shown["pepper"], shown["kek"]) == ("(set)", "(set)")


def test_the_pepper_is_in_no_error() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"pepper": [SECRET]}, {})
    assert SECRET not in f"{caught.value} {caught.value.__cause__!r}"
    with pytest.raises(SettingsError) as caught:
        load({}, {"HATCHPAY_PEPPER": SECRET, "HATCHPAY_PORT": "-1"})
    assert SECRET not in repr(caught.value)


def test_the_description_covers_every_setting_once_in_order() -> None:
    described = describe(*load({}, {}))
    assert [row.name for row in described] == list(Settings.__struct_fields__)
    assert all(row.variable == f"HATCHPAY_{row.name.upper()}" for row in described)
    assert all(row.description for row in described)
    assert len({row.description for row in described}) == len(described)


def test_the_description_shows_value_source_and_default() -> None:
    described = {
        row.name: row for row in describe(*load({"port": 9000}, {"HATCHPAY_TRUSTED_PROXIES": "10.0.0.0/8,::1"}))
    }
    assert (described["port"].value, described["port"].source, described["port"].default) == ("9000", "option", "8400")
    assert described["trusted_proxies"].value == "10.0.0.0/8, ::1"
    assert (described["pepper"].value, described["routes"].value) == ("", "")


def test_only_the_settings_read_the_environment() -> None:
    import hatchpay

    root = Path(str(hatchpay.__file__)).parent
    reads = re.compile(r"os\.environ|getenv")
    readers = {str(path.relative_to(root)) for path in root.rglob("*.py") if reads.search(path.read_text("utf-8"))}
    assert readers == {"settings.py"}
