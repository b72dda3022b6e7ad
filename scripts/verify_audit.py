"""Judges an export of the audit by itself: it needs Python 3.9 and nothing else, no library and no service.

    scripts/verify-audit audit.ndjson --public-key BASE64 [--checkpoints DIR] [--from N]

It finds a changed entry, a missing or repeated one, another order, a fork, a cut end, and a chain that was made anew.
For the last two it needs checkpoints: those in the export, and better those of the bucket or directory where the
service keeps them. Exit status: 0 when all is well, 1 when it is not, 2 when it cannot be judged.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

Json = dict[str, Any]


class Bad(Exception):
    """Something that is not as it was. ``sequence`` is the first entry that is not."""

    def __init__(self, sequence: int, why: str) -> None:
        super().__init__(why)
        self.sequence = sequence


def canonical(value: Any) -> bytes:
    """RFC 8785, for what entries and checkpoints hold: no number of theirs has a fraction."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return b"{" + b",".join(canonical(n) + b":" + canonical(value[n]) for n in names) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(canonical, value)) + b"]"
    if isinstance(value, float):
        raise ValueError("a number with a fraction")
    return json.dumps(value, ensure_ascii=False).encode()


def digest(fields: Json, *without: str) -> str:
    """SHA-256 of an object less some of its fields."""
    return hashlib.sha256(canonical({n: v for n, v in fields.items() if n not in without})).hexdigest()


def node(tag: bytes, left: str, right: str) -> str:
    return hashlib.sha256(tag + bytes.fromhex(left) + bytes.fromhex(right)).hexdigest()


def add(peaks: list[str], count: int, leaf: str) -> None:
    """Add a leaf to a tree of ``count`` leaves that is kept by the roots of its full subtrees (RFC 6962)."""
    peaks.append(leaf)
    while count & 1:
        right, left = peaks.pop(), peaks.pop()
        peaks.append(node(b"\x01", left, right))
        count >>= 1


def root(peaks: list[str]) -> str:
    """The root of the tree."""
    if not peaks:
        return hashlib.sha256(b"").hexdigest()
    top = peaks[-1]
    for left in reversed(peaks[:-1]):
        top = node(b"\x01", left, top)
    return top


# Ed25519 (RFC 8032) and ECDSA on P-256 (FIPS 186-5), verification alone.

ED_P = 2**255 - 19
ED_L = 2**252 + 27742317777372353535851937790883648493
ED_D = -121665 * pow(121666, -1, ED_P) % ED_P
ED_DER = bytes.fromhex("302a300506032b6570032100")
EdPoint = tuple[int, int, int, int]


def ed_add(p: EdPoint, q: EdPoint) -> EdPoint:
    a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
    c, d = 2 * p[3] * q[3] * ED_D, 2 * p[2] * q[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % ED_P, g * h % ED_P, f * g % ED_P, e * h % ED_P)


def ed_times(k: int, p: EdPoint) -> EdPoint:
    found: EdPoint = (0, 1, 1, 0)
    while k:
        if k & 1:
            found = ed_add(found, p)
        p, k = ed_add(p, p), k >> 1
    return found


def ed_point(raw: bytes) -> EdPoint | None:
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if len(raw) != 32 or y >= ED_P:
        return None
    square = (y * y - 1) * pow(ED_D * y * y + 1, -1, ED_P) % ED_P
    x = pow(square, (ED_P + 3) // 8, ED_P)
    if (x * x - square) % ED_P:
        x = x * pow(2, (ED_P - 1) // 4, ED_P) % ED_P
    if (x * x - square) % ED_P or (x == 0 and sign):
        return None
    x = ED_P - x if x & 1 != sign else x
    return (x, y, 1, x * y % ED_P)


ED_BASE = ed_point((4 * pow(5, -1, ED_P) % ED_P).to_bytes(32, "little"))


def ed25519_holds(public: bytes, text: bytes, signature: bytes) -> bool:
    key, r = ed_point(public), ed_point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or r is None or ED_BASE is None or len(signature) != 64 or s >= ED_L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + text).digest(), "little") % ED_L
    left, right = ed_times(s, ED_BASE), ed_add(r, ed_times(h, key))
    return not ((left[0] * right[2] - right[0] * left[2]) % ED_P or (left[1] * right[2] - right[1] * left[2]) % ED_P)


EC_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
EC_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
EC_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
EC_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
EC_DER = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
EcPoint = tuple[int, int] | None


def ec_add(p: EcPoint, q: EcPoint) -> EcPoint:
    if p is None or q is None:
        return q if p is None else p
    if p[0] == q[0]:
        if (p[1] + q[1]) % EC_P == 0:
            return None
        slope = (3 * p[0] * p[0] - 3) * pow(2 * p[1], -1, EC_P)
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, EC_P)
    x = (slope * slope - p[0] - q[0]) % EC_P
    return (x, (slope * (p[0] - x) - p[1]) % EC_P)


def ec_times(k: int, p: EcPoint) -> EcPoint:
    found: EcPoint = None
    while k:
        if k & 1:
            found = ec_add(found, p)
        p, k = ec_add(p, p), k >> 1
    return found


def der_integers(raw: bytes) -> tuple[int, int] | None:
    """R and S of a signature: SEQUENCE of two INTEGERs, all shorter than 128 bytes."""
    if len(raw) < 8 or raw[0] != 0x30 or raw[1] != len(raw) - 2 or raw[2] != 2:
        return None
    middle = 4 + raw[3]
    if middle + 2 > len(raw) or raw[middle] != 2 or middle + 2 + raw[middle + 1] != len(raw):
        return None
    return int.from_bytes(raw[4:middle], "big"), int.from_bytes(raw[middle + 2 :], "big")


def p256_holds(public: bytes, text: bytes, signature: bytes) -> bool:
    point, numbers = (int.from_bytes(public[:32], "big"), int.from_bytes(public[32:], "big")), der_integers(signature)
    on_curve = (point[1] ** 2 - point[0] ** 3 + 3 * point[0] - EC_B) % EC_P == 0
    if numbers is None or len(public) != 64 or not on_curve or not all(0 < n < EC_N for n in numbers):
        return False
    r, s = numbers
    w = pow(s, -1, EC_N)
    z = int.from_bytes(hashlib.sha256(text).digest(), "big")
    found = ec_add(ec_times(z * w % EC_N, EC_G), ec_times(r * w % EC_N, point))
    return found is not None and found[0] % EC_N == r


def signature_holds(checkpoint: Json, trusted: str | None) -> bool:
    """Whether the checkpoint is signed by the trusted key (None: by the key that it names)."""
    given = checkpoint.get("signature")
    if not isinstance(given, dict) or (trusted is not None and given.get("public_key") != trusted):
        return False
    try:
        key = base64.b64decode(given["public_key"], validate=True)
        value = base64.b64decode(given["value"], validate=True)
    except (KeyError, TypeError, ValueError):
        return False
    text = canonical({name: part for name, part in checkpoint.items() if name != "signature"})
    if given.get("algorithm") == "ed25519" and key.startswith(ED_DER):
        return ed25519_holds(key[len(ED_DER) :], text, value)
    if given.get("algorithm") == "ecdsa-p256-sha256" and key.startswith(EC_DER):
        return p256_holds(key[len(EC_DER) :], text, value)
    return False


class Export(NamedTuple):
    """What the files hold."""

    entries: list[Json]
    checkpoints: list[Json]


def read(paths: Iterable[str], directory: str | None) -> Export:
    """Raises ValueError for a line that is none of an export's, and OSError."""
    found = Export([], [])
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                line = json.loads(text)
                if isinstance(line, dict) and isinstance(line.get("entry"), dict):
                    found.entries.append(line["entry"])
                elif isinstance(line, dict) and isinstance(line.get("checkpoint"), dict):
                    found.checkpoints.append(line["checkpoint"])
                else:
                    raise ValueError(f"{path}:{number} is no line of an export")
    for path in _files(directory):
        with open(path, encoding="utf-8") as file:
            found.checkpoints.append(json.load(file))
    return found


def _files(directory: str | None) -> Iterator[str]:
    for place, _, names in os.walk(directory or os.devnull):
        yield from (os.path.join(place, name) for name in sorted(names) if name.endswith(".json"))


def judged_checkpoints(found: Iterable[Json], trusted: str | None) -> dict[int, Json]:
    """Checkpoints by their count. Raises Bad for one that is not signed, and for two that contradict each other."""
    known: dict[int, Json] = {}
    for each in found:
        count = each.get("count")
        if not isinstance(count, int) or not signature_holds(each, trusted):
            raise Bad(count if isinstance(count, int) else 1, "a checkpoint is not signed by the key")
        if known.setdefault(count, each)["root_sha256"] != each["root_sha256"]:
            raise Bad(count, "two checkpoints of one count differ: the chain was forked")
    if len({each["tenant"] for each in known.values()}) > 1:
        raise Bad(1, "the checkpoints are of several tenants")
    return known


def own_problem(entry: Json) -> str | None:
    """What is wrong with an entry by itself."""
    if entry.get("erased"):
        left = digest(entry, "sha256", "redacted_sha256", "erased")
        return None if left == entry["redacted_sha256"] else "redacted_sha256 is not that of the erased entry"
    return None if digest(entry, "sha256") == entry["sha256"] else "sha256 is not that of the entry"


def judge(entries: list[Json], known: dict[int, Json], begins_at: int) -> int:
    """The last entry that a checkpoint vouches for. Raises Bad."""
    count, head, covered = 0, None, 0
    peaks: list[str] = []
    erased: dict[str, int] = {}
    proved: set[str] = set()
    if begins_at > 1:
        before = known.get(begins_at - 1)
        if before is None:
            raise Bad(begins_at, f"no checkpoint ends at entry {begins_at - 1}")
        count, head, covered, peaks = begins_at - 1, before["head_sha256"], begins_at - 1, list(before["peaks"])
        if root(peaks) != before["root_sha256"]:
            raise Bad(begins_at, "the checkpoint before the first entry contradicts itself")
    for entry in entries:
        if entry["sequence"] > count + 1:
            raise Bad(count + 1, "an entry is missing")
        if entry["sequence"] <= count:
            raise Bad(entry["sequence"], "the sequence is there twice, or out of order")
        if entry["previous_sha256"] != head:
            raise Bad(entry["sequence"], "previous_sha256 is not the digest of the entry before: changed or forked")
        problem = own_problem(entry)
        if problem:
            raise Bad(entry["sequence"], problem)
        leaf = b"\x00" + bytes.fromhex(entry["sha256"]) + bytes.fromhex(entry["redacted_sha256"])
        add(peaks, count, hashlib.sha256(leaf).hexdigest())
        count, head = entry["sequence"], entry["sha256"]
        if entry.get("erased"):
            erased.setdefault(entry["actor"], count)
        if entry["action"] == "subjects:erase" and entry["decision"] == "allow":
            proved.add(entry["resource"].partition("/")[2])
        found = known.get(count)
        if found is not None:
            if found["root_sha256"] != root(peaks) or found["head_sha256"] != head:
                raise Bad(covered + 1, f"entries {covered + 1} to {count} are not those of the checkpoint")
            covered = count
    if known and max(known) > count:
        raise Bad(count + 1, f"the end is cut: a checkpoint has {max(known)} entries")
    unproved = [sequence for actor, sequence in erased.items() if actor not in proved]
    if unproved:
        raise Bad(min(unproved), "the actor was taken out, and no entry says that they were erased")
    return covered


def main(arguments: list[str]) -> int:
    """Judge, and say so in one line."""
    parser = argparse.ArgumentParser(prog="verify-audit", description="Judges an export of the audit.")
    parser.add_argument("export", nargs="+", help="answers of GET /api/v1/audit:export, in their order")
    parser.add_argument("--checkpoints", metavar="DIR", help="the tenant's checkpoints, as the service keeps them")
    parser.add_argument("--public-key", metavar="BASE64", help="the key that checkpoints must be signed with")
    parser.add_argument("--from", dest="begins_at", type=int, default=1, metavar="N", help="the first entry kept")
    chosen = parser.parse_args(arguments)
    try:
        export = read(chosen.export, chosen.checkpoints)
        known = judged_checkpoints(export.checkpoints, chosen.public_key)
        covered = judge(export.entries, known, chosen.begins_at)
    except Bad as bad:
        print(f"NOT VALID from entry {bad.sequence}: {bad}")
        return 1
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"cannot be judged: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    if chosen.public_key is None and known:
        print("no --public-key: the checkpoints were checked by the key that they name themselves", file=sys.stderr)
    print(f"valid: {len(export.entries)} entries, {len(known)} checkpoints, signed up to entry {covered}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
