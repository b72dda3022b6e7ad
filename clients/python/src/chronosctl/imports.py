"""``import``: what other schedulers keep, as a file for ``apply``. Nothing is called."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import click

from chronosctl import cron_forms, files, options
from chronosctl.commands import Shared, SharedGroup

Entry = dict[str, Any]
Found = Iterator[tuple[int, "Entry | str"]]  # the line, and an entry or why it is none


@click.group("import", cls=SharedGroup, no_args_is_help=True)
def import_() -> None:
    """A crontab, an EventBridge export or Kubernetes CronJobs as a file for `apply`.

    The file goes to standard output. Lines that cannot be used go to standard error, with their number.
    """


def _command(name: str, about: str, read: Callable[[str, str], Found]) -> None:
    @import_.command(name, cls=Shared, help=about)
    @click.argument("file", type=click.Path())
    @click.option("--timezone", help="The zone of what names none.")
    @click.option("--target", metavar="JSON", help="The target of what names none that the service knows.")
    @click.option("--tag", multiple=True, help="A tag for each. Repeatable.")
    def run(file: str, timezone: str | None, target: str | None, tag: tuple[str, ...]) -> None:
        chosen = options.json_of("--target", target) if target else None
        entries: list[Entry] = []
        names: set[str] = set()
        for line, found in read(options.read(file), file):
            if isinstance(found, str):
                print(f"line {line}: {found}", file=sys.stderr)
                continue
            if timezone:
                found.setdefault("timezone", timezone)
            if chosen is not None:
                found.setdefault("target", chosen)
            if tag:
                found["tags"] = list(tag)
            found["name"] = _unique(found["name"], names)
            entries.append(found)
        sys.stdout.write(files.written(entries, (f"From {name} {file}; `chronosctl apply -f FILE` makes them so.",)))


def _unique(name: str, names: set[str]) -> str:
    plain = name[:120]
    found, n = plain, 2
    while found in names:
        found, n = f"{plain}-{n}", n + 1
    names.add(found)
    return found


# -- crontab

_SETTING: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


def crontab(text: str, path: str) -> Found:
    """Entries of a user's crontab; CRON_TZ sets the zone of what follows."""
    zone: str | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        setting = _SETTING.fullmatch(line)
        if setting and setting[1] in ("CRON_TZ", "TZ"):
            zone = setting[2].strip("\"'") or None
        elif setting:
            yield number, f"{setting[1]} is left out: a target has an environment of its own"
        else:
            yield number, _cron_line(line, zone)


def _cron_line(line: str, zone: str | None) -> Entry | str:
    if line.startswith("@"):
        macro, command = (*line.split(None, 1), "")[:2]
        if macro not in cron_forms.MACROS:
            return f"{macro} has no instant" if macro == "@reboot" else f"{macro} is unknown"
        expr = {"@annually": "@yearly", "@midnight": "@daily"}.get(macro, macro)
    else:
        parts = line.split(None, 5)
        expr, command = " ".join(parts[:5]), parts[5] if len(parts) > 5 else ""
        if wrong := cron_forms.wrong(parts[:5]):
            return wrong
    if not command.strip():
        return "there is no command"
    said, _, given = _split_percent(command.strip())
    payload = {"command": said, **({"stdin": given} if given else {})}
    entry: Entry = {"name": _name(said), "type": "CRON", "expr": expr, "payload": payload}
    return {**entry, "timezone": zone} if zone else entry


def _split_percent(command: str) -> tuple[str, str, str]:
    """cron hands what follows a bare % to the command's standard input."""
    parts = re.split(r"(?<!\\)%", command)
    plain = [part.replace("\\%", "%") for part in parts]
    return plain[0].strip(), "%", "\n".join(plain[1:])


def _name(command: str) -> str:
    first = command.split()[0].rpartition("/")[2]
    words = re.findall(r"[A-Za-z0-9._]+", " ".join([first, *command.split()[1:]]))
    return "-".join(words)[:60] or "job"


# -- EventBridge


def eventbridge(text: str, path: str) -> Found:
    """Rules and schedules of `aws events list-rules`, `aws scheduler get-schedule`, or a CloudFormation template."""
    for parsed in files.parse_all(text, path):
        for place, found, name in _aws_things(parsed.value, ()):
            line, entry = parsed.line(*place), cron_forms.of_aws(found, name)
            yield line, entry
            if not isinstance(entry, str):
                yield from ((line, f"{name}: {loss}") for loss in cron_forms.lost_of_aws(found, entry))


def _aws_things(node: Any, place: tuple[Any, ...], name: str = "") -> Iterator[tuple[tuple[Any, ...], Any, str]]:
    if isinstance(node, list):
        for n, each in enumerate(node):
            yield from _aws_things(each, (*place, n))
    elif isinstance(node, Mapping):
        if "ScheduleExpression" in node or "EventPattern" in node:
            yield place, node, str(node.get("Name") or name or "rule")
            return
        for key, each in node.items():
            inner = key if key not in ("Properties", "Rules", "Schedules", "Resources") else name
            yield from _aws_things(each, (*place, key), inner)


# -- Kubernetes

_OVERLAP: Final = {"Allow": "allow", "Forbid": "forbid", "Replace": "replace"}


def k8s(text: str, path: str) -> Found:
    """CronJobs of manifests, also in a List."""
    for parsed in files.parse_all(text, path):
        value = parsed.value
        many = isinstance(value, Mapping) and isinstance(value.get("items"), list)
        things = [(("items", n), each) for n, each in enumerate(value["items"])] if many else [((), value)]
        for place, found in things:
            yield parsed.line(*place), _cron_job(found)


def _cron_job(found: Any) -> Entry | str:
    if not isinstance(found, Mapping) or found.get("kind") != "CronJob":
        return f"{found.get('kind', 'it') if isinstance(found, Mapping) else 'it'} is no CronJob"
    spec, meta = _mapping(found.get("spec")), _mapping(found.get("metadata"))
    recurrence = cron_forms.of_k8s(str(spec.get("schedule", "")))
    if isinstance(recurrence, str):
        return recurrence
    entry: Entry = {"name": str(meta.get("name") or "cronjob"), **recurrence}
    if spec.get("timeZone"):
        entry["timezone"] = spec["timeZone"]
    if spec.get("suspend"):
        entry["enabled"] = False
    entry["overlap"] = _OVERLAP.get(spec.get("concurrencyPolicy", "Allow"), "allow")
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None:
        if not isinstance(deadline, int):
            return f"startingDeadlineSeconds: {deadline!r} is no whole number"
        entry["catch_up_window_ms"] = deadline * 1000
    entry["payload"] = _pod(spec, meta)
    return entry


def _pod(spec: Mapping[str, Any], meta: Mapping[str, Any]) -> Entry:
    template = _mapping(spec.get("jobTemplate"))
    for key in ("spec", "template", "spec"):
        template = _mapping(template.get(key))
    containers = template.get("containers")
    first = _mapping(containers[0]) if isinstance(containers, list) and containers else {}
    said = {name: first.get(name) for name in ("image", "command", "args")}
    named = {"namespace": meta.get("namespace"), "cronjob": meta.get("name"), **said}
    return {name: value for name, value in named.items() if value}


def _mapping(found: Any) -> Mapping[str, Any]:
    """What should be one; of anything else nothing is taken."""
    return found if isinstance(found, Mapping) else {}


_command("crontab", "A user's crontab (-: standard input).", crontab)
_command("eventbridge", "Rules or schedules of EventBridge: the AWS CLI's JSON, or a template.", eventbridge)
_command("k8s", "Kubernetes CronJobs: manifests, or `kubectl get cronjobs -o yaml`.", k8s)
