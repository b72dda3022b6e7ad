"""Scheduled-DB's flags and variables: what they are here, or one line on what takes their place.

Its flags are understood where there is a setting of that meaning. Its variables that bear general names, such as
``DATA_DIR``, are not obeyed: a machine may have set them for another service. Each is answered by a line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from chalicelib.core.configuration.file_values import nearest
from chalicelib.core.errors import SettingsError

_NODES: Final = "nodes find each other in the table; GET /debug/cluster shows them"
_RAFT: Final = f"there is no Raft and no port for it: {_NODES}"
_COLD: Final = "schedules are in DynamoDB and none is kept in memory; EXECUTION_HISTORY_RETENTION bounds the history"
_WHEEL: Final = "there is no timing wheel: the queue holds each firing until its instant"
_PORTS: Final = "each server has its own CHRONO_HTTP_PORT"

FLAGS: Final = {
    "data-dir": "CHRONO_DATA_DIR",
    "http-port": "CHRONO_HTTP_PORT",
    "http-host": "CHRONO_HTTP_HOST",
    "slot-gap": "SLOT_GAP",
    "execution-timeout": "JOB_EXECUTION_TIMEOUT",
    "inprogress-timeout": "JOB_INPROGRESS_TIMEOUT",
    "max-attempts": "MAX_EXECUTION_ATTEMPTS",
    "history-retention": "EXECUTION_HISTORY_RETENTION",
    "health-failure-threshold": "HEALTH_FAILURE_THRESHOLD",
    "queue-memory-limit": "QUEUE_MEMORY_LIMIT",
    "queue-memory-percent": "QUEUE_MEMORY_PERCENT",
    "queue-job-limit": "QUEUE_JOB_LIMIT",
}
REPLACED: Final = {
    "node-id": f"a node names itself, and {_NODES}",
    "peers": _NODES,
    "discovery-strategy": _NODES,
    "raft-port": _RAFT,
    "raft-host": _RAFT,
    "raft-advertise-host": _RAFT,
    "enable-cold-spilling": _COLD,
    "cold-spilling-hot-window": _COLD,
    "cold-spilling-check-interval": _COLD,
    "htw-level0-granularity": _WHEEL,
    "htw-level0-buckets": _WHEEL,
    "htw-level1-granularity": _WHEEL,
    "htw-level1-buckets": _WHEEL,
    "htw-level2-granularity": _WHEEL,
    "htw-level2-buckets": _WHEEL,
}
SWITCHES: Final = ("enable-cold-spilling",)  # stand alone; all other flags have a value
VARIABLES: Final = {
    "HTTP_PORT": "CHRONO_HTTP_PORT takes its place",
    "HTTP_HOST": "CHRONO_HTTP_HOST takes its place",
    "DATA_DIR": "CHRONO_DATA_DIR takes its place",
    "DATA_BASE_DIR": "CHRONO_DATA_DIR takes its place",
    "LOG_BASE_DIR": "logs are under CHRONO_DATA_DIR",
    "BASE_HTTP_PORT": _PORTS,
    "HTTP_PORT_OFFSET": _PORTS,
    "BASE_RAFT_PORT": _RAFT,
    "CLUSTER_SIZE": f"a cluster is as large as its nodes are many: {_NODES}",
    "CLUSTER_NAME": "CHRONO_STAGE takes its place",
    "AUTO_JOIN": _NODES,
    "GOSSIP_PORT": _NODES,
    "GOSSIP_SEEDS": _NODES,
    "DNS_DOMAIN": _NODES,
    "KUBERNETES_IN_CLUSTER": _NODES,
    **{flag.upper().replace("-", "_"): answer for flag, answer in REPLACED.items()},
}


class Understood(NamedTuple):
    """What a command line says: variables to set, one line for each flag that has none, and what is left of it."""

    values: Mapping[str, str]
    notes: Sequence[str]
    rest: Sequence[str]


def answers(env: Mapping[str, str]) -> list[str]:
    """One line for each of Scheduled-DB's variables that ``env`` sets and nothing here reads."""
    return [f"{name}: {answer}" for name, answer in VARIABLES.items() if env.get(name)]


def understand(arguments: Sequence[str], own: Sequence[str]) -> Understood:
    """Read a command line with Scheduled-DB's flags in it: ``--flag value``, ``--flag=value``, or with one dash.

    ``own`` are the options of the command itself. Raises SettingsError for what is neither, with the nearest option.
    """
    values: dict[str, str] = {}
    notes: list[str] = []
    rest: list[str] = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        name, equals, value = argument.lstrip("-").partition("=")
        if argument in own or not argument.startswith("-"):
            rest.append(argument)
            continue
        if name not in FLAGS and name not in REPLACED:
            word = argument.partition("=")[0]
            known = (*own, *(f"--{flag}" for flag in (*FLAGS, *REPLACED)))  # of two as near the one that is taken
            raise SettingsError(word, f"is no option{nearest(word, known) or _list(own)}")
        if not equals and name not in SWITCHES:
            if not left:
                raise SettingsError(argument, "needs a value")
            value = left.pop(0)
        if name in REPLACED:
            notes.append(f"--{name}: {REPLACED[name]}")
        else:
            if not value:  # there --http-host= is every address; here nothing is opened to all by saying nothing
                raise SettingsError(f"--{name}", "needs a value")
            values[FLAGS[name]] = value
    return Understood(values, notes, rest)


def _list(own: Sequence[str]) -> str:
    return f": there are {', '.join(own)}" if own else ""
