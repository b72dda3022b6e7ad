from __future__ import annotations

from typing import ClassVar

import pytest

from chalicelib import settings
from chalicelib.core.errors import SettingsError
from chalicelib.core.targets import allow_setting


def test_an_empty_environment_is_a_local_service_on_loopback() -> None:
    chosen = settings.load({})
    assert (chosen.stage, chosen.http_host) == ("local", "127.0.0.1")
    assert (chosen.http_port, chosen.emulator_port) == (8080, 4566)
    assert (chosen.auth, chosen.loopback, chosen.endpoint_url) == ("off", True, None)
    assert chosen.webhook_allow == ("127.0.0.1", "::1", "localhost")
    assert (chosen.shards, chosen.event_bus, chosen.max_drift_ms, chosen.timezone) == (16, "chronowatch", 20, "UTC")


def test_set_but_empty_means_the_default_except_for_the_allow_list() -> None:
    chosen = settings.load(dict.fromkeys(settings.VARIABLES, ""))
    assert chosen.webhook_allow == ()
    assert (chosen.stage, chosen.http_port, chosen.auth) == ("local", 8080, "off")


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("CHRONO_HTTP_PORT", "eighty", "1 to 65535"),
        ("CHRONO_HTTP_PORT", "0", "1 to 65535"),
        ("CHRONO_HTTP_PORT", "65536", "1 to 65535"),
        ("CHRONO_EMULATOR_PORT", "-1", "1 to 65535"),
        ("CHRONO_EMULATOR_PORT", "٤٥", "1 to 65535"),
        ("CHRONO_STAGE", "a/b", "letters"),
        ("CHRONO_STAGE", "s" * 33, "1 to 32"),
        ("CHRONO_TZ", "Mars/Olympus", "Europe/Paris"),
        ("CHRONO_TZ", "../etc/passwd", "Europe/Paris"),
        ("CHRONO_SHARDS", "0", "1 to 256"),
        ("CHRONO_SHARDS", "257", "1 to 256"),
        ("CHRONO_MAX_DRIFT_MS", "1.5", "whole number"),
        ("CHRONO_DELIVER_LEAD_MS", "15001", "0 to 15000"),
        ("CHRONO_CATCH_UP_PER_MINUTE", "0", "1 to 60000"),
        ("CHRONO_MAX_INFLIGHT_PER_OWNER", "-1", "0 to 100000"),
        ("CHRONO_MAX_RATE_PER_TARGET", "100001", "0 to 100000"),
        ("CHRONO_EVENT_BUS", "a bus", "letters"),
        ("CHRONO_TRACING", "yes", "off, xray"),
        ("CHRONO_AUTH", "none", "off, deny"),
        ("CHRONO_AUTH", "jwt,off", "jwt, apikey, jwt,apikey"),
        ("CHRONO_TRUSTED_PROXIES", "10.0.0.1/8", "10.0.0.0/8"),
        ("CHRONO_TRUSTED_PROXIES", "proxy.example", "10.0.0.0/8"),
        ("CHRONO_PUBLIC_OPS", "yes", "0, 1"),
        ("CHRONO_WEBHOOK_ALLOW", "http://x/", "host names"),
        ("CHRONO_WEBHOOK_ALLOW", "localhost,10.0.0.0/33", "'10.0.0.0/33'"),
        ("CHRONO_WEBHOOK_ALLOW", "10.1.2.3/8", "'10.1.2.3/8'"),
        ("CHRONO_GRPC_PORT", "of", "1 to 65535, or off"),
        ("CHRONO_PAGE_TOKEN_SECRET", "short", "32"),
        ("LOG_LEVEL", "chatty", "DEBUG"),
        ("AWS_ENDPOINT_URL", "localhost:4566", "http://127.0.0.1:4566"),
        ("AWS_ENDPOINT_URL", "http://h:port", "http://127.0.0.1:4566"),
        ("AWS_ENDPOINT_URL", "http://[::1", "http://127.0.0.1:4566"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable_and_what_would_be_right(
    name: str, value: str, right: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load({name: value})
    message = str(caught.value)
    assert caught.value.variable == name
    assert message.startswith(f"{name}: ")
    assert right in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "env",
    [
        {"CHRONO_HTTP_HOST": "0.0.0.0"},
        {"CHRONO_HTTP_HOST": "192.168.1.5"},
        {"CHRONO_HTTP_HOST": "example.com"},
        {"CHRONO_STAGE": "prod"},
        {"CHRONO_STAGE": "prod", "AWS_ENDPOINT_URL": "https://dynamodb.eu-west-1.amazonaws.com"},
        {"AWS_LAMBDA_FUNCTION_NAME": "chronowatch-prod"},
        {"CHRONO_HTTP_HOST": "0.0.0.0", "AWS_ENDPOINT_URL": "http://127.0.0.1:4566"},
    ],
)
def test_whoever_can_be_reached_from_elsewhere_is_closed(env: dict[str, str]) -> None:
    chosen = settings.load(env)
    assert (chosen.auth, chosen.loopback, chosen.webhook_allow) == ("deny", False, ())
    with pytest.raises(SettingsError, match="CHRONO_AUTH: off is only for a service bound to loopback"):
        settings.load({**env, "CHRONO_AUTH": "off"})
    with pytest.raises(SettingsError, match="CHRONO_PAGE_TOKEN_SECRET: is required"):
        chosen.required_page_token_secret()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_loopback_has_several_names(host: str) -> None:
    assert settings.load({"CHRONO_HTTP_HOST": host}).auth == "off"


def test_a_lambda_on_an_emulator_on_loopback_counts_as_loopback() -> None:
    env = {"CHRONO_STAGE": "deployed", "AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}
    chosen = settings.load({**env, "CHRONO_AUTH": "off"})
    assert (chosen.auth, chosen.on_lambda) == ("off", True)
    assert chosen.webhook_allow == allow_setting.LOOPBACK


def test_the_allow_list_takes_names_addresses_and_networks() -> None:
    chosen = settings.load({"CHRONO_WEBHOOK_ALLOW": "Hooks.internal, 10.0.0.0/8,::1 ,"})
    assert chosen.webhook_allow == ("hooks.internal", "10.0.0.0/8", "::1")


def test_deliveries_are_unlimited_unless_a_limit_is_given() -> None:
    def bounds(env: dict[str, str]) -> tuple[int | None, ...]:
        found = settings.load(env)
        inflight = (found.max_inflight_per_owner, found.max_inflight_per_target)
        return (*inflight, found.max_rate_per_owner, found.max_rate_per_target)

    names = [f"CHRONO_MAX_{kind}_PER_{whose}" for kind in ("INFLIGHT", "RATE") for whose in ("OWNER", "TARGET")]
    assert bounds({}) == bounds(dict.fromkeys(names, "0")) == (None, None, None, None)
    assert bounds({name: str(number) for number, name in enumerate(names, 1)}) == (1, 2, 3, 4)


def test_a_given_secret_is_used() -> None:
    secret = "s" * 32
    assert settings.load({"CHRONO_PAGE_TOKEN_SECRET": secret}).required_page_token_secret() == secret
    assert settings.load({}).required_page_token_secret() == settings.LOCAL_PAGE_TOKEN_SECRET


def test_nothing_is_read_that_is_not_listed() -> None:
    class Watched(dict[str, str]):
        asked: ClassVar[set[str]] = set()

        def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
            self.asked.add(key)
            return super().get(key, default)

    settings.load(Watched({**JWT, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}))
    assert Watched.asked == set(settings.VARIABLES) - {"CHRONO_CONFIG"}  # says where some of them are


@pytest.mark.parametrize(
    ("key", "auth", "said"),
    [
        ("x" * 31, "apikey", "32 to"),
        ("x" * 5000, "apikey", "32 to"),
        ("with a blank " * 4, "apikey", "no blanks"),
        ("é" * 40, "apikey", "ASCII"),
        ("x" * 32, "jwt", "apikey in CHRONO_AUTH, which is jwt"),
        ("x" * 32, "deny", "apikey in CHRONO_AUTH, which is deny"),
    ],
)
def test_a_bootstrap_key_that_would_not_do_is_refused(key: str, auth: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        settings.load({**JWT, "CHRONO_BOOTSTRAP_KEY": key, "CHRONO_AUTH": auth})
    assert refused.value.variable == "CHRONO_BOOTSTRAP_KEY"
    assert key not in str(refused.value)


def test_a_bootstrap_key_is_taken_where_keys_are_and_lies_idle_where_nobody_is_asked() -> None:
    for auth in ("apikey", "jwt,apikey", "off"):
        assert settings.load({**JWT, "CHRONO_BOOTSTRAP_KEY": "x" * 32, "CHRONO_AUTH": auth}).bootstrap_key == "x" * 32
    assert settings.load({"CHRONO_AUTH": "apikey"}).bootstrap_key is None


JWT = {"CHRONO_AUTH": "jwt", "CHRONO_JWT_ISSUER": "https://issuer.example/", "CHRONO_JWT_AUDIENCE": "chronowatch"}


def test_tokens_of_an_issuer() -> None:
    assert settings.load({}).jwt is None
    assert settings.load({**JWT, "CHRONO_AUTH": "apikey"}).jwt is None
    chosen = settings.load({**JWT, "CHRONO_AUTH": " apikey , jwt"})
    assert chosen.auth == "jwt,apikey"
    assert chosen.jwt == ("https://issuer.example/", ("chronowatch",), None, "tenant", "sub", "roles")


def test_tokens_of_an_issuer_under_names_of_the_deployments_own() -> None:
    own = {
        "CHRONO_JWT_ISSUER": "any text",
        "CHRONO_JWKS_URL": "http://127.0.0.1:9/keys",
        "CHRONO_JWT_AUDIENCE": "a, b",
        "CHRONO_JWT_TENANT_CLAIM": "org.id",
        "CHRONO_JWT_SUBJECT_CLAIM": "email",
        "CHRONO_JWT_ROLES_CLAIM": "realm_access.roles",
    }
    assert settings.load({**JWT, **own}).jwt == (
        "any text", ("a", "b"), "http://127.0.0.1:9/keys", "org.id", "email", "realm_access.roles",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("CHRONO_JWT_ISSUER", "", "is required"),
        ("CHRONO_JWT_AUDIENCE", " ", "is required"),
        ("CHRONO_JWT_ISSUER", "issuer", "https://issuer.example/"),
        ("CHRONO_JWT_ISSUER", "http://issuer.example/", "must begin with https://"),
        ("CHRONO_JWT_ISSUER", "http://127.0.0.1.evil.example/", "must begin with https://"),
        ("CHRONO_JWKS_URL", "http://keys.example/", "must begin with https://"),
        ("CHRONO_JWKS_URL", "https://user:pass@keys.example/", "https://issuer.example/"),
        ("CHRONO_JWKS_URL", "https://keys.example:port/", "is no URL"),
        ("CHRONO_JWKS_URL", "file:///keys", "https://issuer.example/"),
        ("CHRONO_JWT_ROLES_CLAIM", "r" * 257, "256"),
    ],
)
def test_a_wrong_word_about_tokens(name: str, value: str, right: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load({**JWT, name: value})
    assert caught.value.variable == name
    assert right in str(caught.value)


def test_networks_of_proxies_that_are_trusted() -> None:
    found = settings.load({"CHRONO_TRUSTED_PROXIES": "10.0.0.0/8, fd00::/8,192.0.2.1"}).trusted_proxies
    assert [str(network) for network in found] == ["10.0.0.0/8", "fd00::/8", "192.0.2.1/32"]
