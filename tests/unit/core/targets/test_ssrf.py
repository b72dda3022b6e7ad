from __future__ import annotations

import subprocess
import sys
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.targets import ssrf
from chalicelib.core.targets.broker_address import address_check

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7F.1",
        "017700000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "\uff11\uff12\uff17.\uff10.\uff10.\uff11",  # full-width digits
        "127\u30020\u30020\u30021",  # ideographic full stops
        "0",
        "10.1.2.3",
        "172.31.255.255",
        "192.168.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "169.254.169.254",
        "169.254.170.2",
        "0xa9fea9fe",
        "168.63.129.16",
        "192.0.0.192",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::1]",
        "[64:ff9b:1::5db8:d822]",
        "[2002:7f00:1::]",
        "[2002:a9fe:a9fe::1]",
        "[2606:2800:220:1:0:5efe:a9fe:a9fe]",  # ISATAP
        "[2606:2800:220:1:200:5efe:7f00:1]",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",  # Teredo
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[fec0::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[100::1]",
        "[4000::1]",
    ],
)
def test_forbidden_literals_in_every_notation(host: str):
    problem = ssrf.check_url(f"http://{host}:8080/path", ())
    assert problem is not None
    assert "CHRONO_WEBHOOK_ALLOW" in problem


@pytest.mark.parametrize(
    "host",
    [
        "93.184.216.34",
        "[2606:2800:220:1:248:1893:25c8:1946]",
        "[2002:5db8:d822::1]",
        "[64:ff9b::5db8:d822]",
        "[2606:2800:220:1:0:5efe:5db8:d822]",
        "[::ffff:93.184.216.34]",
        "172.32.0.1",
        "100.128.0.1",
        "example.com",
        "example.com.",
        "xn--bcher-kva.example",
        "b\u00fccher.example",
        "my_service.example",
        "localhost",  # a name: judged at every delivery
        "metadata.google.internal",
        "1.example",
        "0x7f.example",
    ],
)
def test_public_literals_and_any_name_pass(host: str):
    assert ssrf.check_url(f"https://{host}/hook?x=1", ()) is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://example.com/", "http:// or https://"),
        ("//example.com/", "http:// or https://"),
        ("example.com", "http:// or https://"),
        ("file:///etc/passwd", "http:// or https://"),
        ("http://user:secret@example.com/", "credentials"),
        ("http://user@example.com/", "credentials"),
        ("http://example.com\\@127.0.0.1/", "backslashes"),
        ("http://exa mple.com/", "blanks"),
        ("http://example.com/\r\nX: y", "control"),
        ("http://exam\tple.com/", "control"),
        ("http:///path", "host name"),
        ("http://", "host name"),
        ("http://-a.example/", "host name"),
        ("http://a..b/", "host name"),
        ("http://%31%32%37.0.0.1/", "host name"),
        ("http://a,b/", "host name"),
        ("http://" + "a." * 127 + "example/", "host name"),
        ("http://1.2.3.4.5/", "IPv4"),
        ("http://256.1.1.1/", "IPv4"),
        ("http://4294967296/", "IPv4"),
        ("http://08.1.1.1/", "IPv4"),
        ("http://a.1/", "IPv4"),
        ("http://[::1", ""),
        ("http://[fe80::1%25eth0]/", ""),
        ("http://[v1.x]/", ""),
        ("http://example.com:0/", "port"),
        ("http://example.com:65536/", "ort"),
        ("http://example.com:x/", "ort"),
        ("http://example.com/" + "a" * 2048, "2048"),
    ],
)
def test_urls_that_cannot_be_called(url: str, problem: str):
    found = ssrf.check_url(url, LOOPBACK)
    assert found is not None
    assert problem in found


@pytest.mark.parametrize(
    ("url", "allow"),
    [
        ("http://127.0.0.1:9000/", LOOPBACK),
        ("http://127.1/", LOOPBACK),
        ("http://[::1]/", LOOPBACK),
        ("http://[::ffff:127.0.0.1]/", LOOPBACK),
        ("http://10.2.3.4/", ("10.0.0.0/8",)),
        ("http://[fd12::1]/", ("fd12::/16",)),
        ("http://[fd12::1]/", ("[fd12::1]",)),
        ("http://169.254.169.254/", ("169.254.169.254",)),
    ],
)
def test_what_the_operator_allows(url: str, allow: tuple[str, ...]):
    assert ssrf.check_url(url, ()) is not None
    assert ssrf.check_url(url, allow) is None


def test_an_allowed_address_allows_no_other():
    assert ssrf.check_url("http://127.0.0.2/", LOOPBACK) is not None
    assert ssrf.check_url("http://169.254.169.254/", LOOPBACK) is not None


def test_a_name_is_judged_by_its_address_unless_the_name_itself_is_allowed():
    private = ip_address("10.0.0.1")
    assert ssrf.check_address("hook.internal", private, LOOPBACK) is not None
    assert ssrf.check_address("hook.internal", private, ("Hook.Internal.",)) is None
    assert ssrf.check_address("hook.internal.", private, ("hook.internal",)) is None
    assert ssrf.check_address("evil-hook.internal", private, ("hook.internal",)) is not None


@pytest.mark.parametrize(
    "entry", ["", "http://a", "10.0.0.1/8", "300.1.1.1", "a b", "*.example", "10.0.0.0/33", "host/8"]
)
def test_a_wrong_entry_is_named(entry: str):
    with pytest.raises(ValueError, match="CIDR") as caught:
        ssrf.parse_allow(("127.0.0.1", entry))
    assert repr(entry) in str(caught.value)


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("http://Example.COM", "example.com", "/"),
        ("http://example.com:80/a?b=c#d", "example.com", "/a?b=c"),
        ("https://example.com:80/?q=\u00e9", "example.com:80", "/?q=%C3%A9"),
        ("http://[2606:2800::1]:81/%2F", "[2606:2800::1]:81", "/%2F"),
        ("http://127.1:9/", "127.0.0.1:9", "/"),
    ],
)
def test_what_goes_over_the_wire(url: str, authority: str, path: str):
    parsed = ssrf.parse_url(url)
    assert (parsed.authority, parsed.path) == (authority, path)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("fa\u00df.de", "xn--fa-hia.de"),
        ("FA\u1e9e.de", "xn--fa-hia.de"),
        ("\u03b2\u03cc\u03bb\u03bf\u03c2.com", "xn--nxasmm1c.com"),  # ends with a final sigma
        ("B\u00dcCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.com", "xn--mgba3gch31f060k.com"),  # where ZWNJ has a meaning
        ("\uff45xample\u3002com", "example.com"),
        ("my_service.b\u00fccher.example.", "my_service.xn--bcher-kva.example."),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
    ],
)
def test_international_names_follow_idna_2008(host: str, name: str):
    assert ssrf.parse_url(f"http://{host}/").host == name


@pytest.mark.parametrize(
    "host",
    [
        "local\u200dhost",
        "local\u200chost",
        "lo\u200dcalhost.example",
        "\u2603.example",
        "a\u0300.\u0300b.example",
        "\u05d0a.example",  # letters of both directions
        "xn--fa\u00df.de",
        "\u00fc" * 60 + ".example",
        "a" * 64 + ".example",
        "b\u00fccher..example",
        "\u00ad.example",
    ],
)
def test_a_name_that_idna_2008_does_not_know_is_refused(host: str):
    found = ssrf.check_url(f"http://{host}/", LOOPBACK)
    assert found is not None
    assert "host name" in found


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("[::1", "valid host"),
        ("::1]", "valid host"),
        ("[zz]", "valid host"),
        ("[]", "valid host"),
        ("[v1.x]", "valid host"),
        ("[1.2.3.4]", "valid host"),
        ("[2001:4860::1]x", "valid host"),
        ("[2001:4860::1]x:1", "valid host"),
        ("a\u2100b.example", "valid host"),
        ("example.com:0", "a port from 1 to 65535"),
        ("example.com:65536", "a port from 1 to 65535"),
        ("example.com:http", "a port from 1 to 65535"),
        ("example.com:-1", "a port from 1 to 65535"),
        ("example.com:\u0661", "a port from 1 to 65535"),
    ],
)
def test_what_cannot_be_taken_apart_is_said_in_words_of_ours(place: str, said: str):
    for found in (
        ssrf.check_url(f"http://{place}/", ()),
        address_check({"nats": 4222})(f"nats://{place}", ()),
        address_check({"": 9092})(place, ()),
    ):
        assert found is not None
        assert found.startswith("must have ")
        assert said in found


def test_plain_names_load_no_tables():
    program = (
        "import sys; from chalicelib.core.targets import ssrf; ssrf.parse_url('http://example.com/');"
        "assert 'idna' not in sys.modules; ssrf.parse_url('http://b\u00fccher.example/'); assert 'idna' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@given(st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address))
def test_nothing_that_python_calls_private_passes(address: IPv4Address | IPv6Address):
    if ssrf.check_address("host", address, ()) is None:
        wrong = (address.is_private, address.is_loopback, address.is_link_local, address.is_multicast)
        assert not any((*wrong, address.is_unspecified, address.is_reserved))


@given(st.text(max_size=60))
def test_no_url_can_break_it(rest: str):
    problem = ssrf.check_url("http://" + rest, ())
    assert problem is None or problem
