"""``export``: schedules as the file that ``apply`` takes."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

import click

from chronosctl import files, options, planning
from chronosctl.commands import Shared, session_of, verbs
from chronosctl.progress import Progress

_FIELDS: Final = [f for f in verbs("schedules")["export"]["query"] if f["name"] != "limit"]
_MORE: Final = "x-chrono-next-page-token"


def _options() -> list[click.Parameter]:
    return [each for f in _FIELDS for each in options.option(f, "query", set())]


@click.command("export", cls=Shared, params=_options())
@click.option("--source", metavar="NAME", help="Only what this source manages, as its file says it.")
@click.pass_context
def export(context: click.Context, /, source: str | None, **given: Any) -> None:
    """Schedules as YAML (or JSON with -o json) that `apply` takes.

    What has its default is left out. Applying the file again changes nothing.
    """
    session = session_of(context)
    query = options.values(_FIELDS, "query", given)
    mark = None if source is None else planning.mark_of(source)
    asked = query.get("tag")
    if mark is not None:
        query["tag"] = mark
    entries: list[dict[str, Any]] = []
    with Progress("exporting") as progress:
        while True:
            answered = session.exchange("GET", "/api/v1/schedules:export", query=query, headers={"Accept": "*/*"})
            entries += files.parse(answered.body.decode(), "the answer").value["schedules"]
            progress.at(len(entries))
            query["page_token"] = answered.headers.get(_MORE)
            if query["page_token"] is None:
                break
    if asked is not None:  # the service filters by one tag, which may be the source's
        entries = [each for each in entries if asked in each.get("tags", ())]
    shown = [_without(each, mark) for each in entries]
    if session.output == "jsonl":
        text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in shown)
    elif session.output == "json":
        text = json.dumps({"version": 1, "schedules": shown}, ensure_ascii=False, indent=2) + "\n"
    elif session.output == "name":
        text = "".join(f"{each.get('name') or each['id']}\n" for each in shown)
    else:
        text = files.written(shown, ("Schedules of ChronoWatch: `chronosctl apply -f FILE` makes them so.",))
    sys.stdout.write(text)


def _without(entry: dict[str, Any], mark: str | None) -> dict[str, Any]:
    tags = [tag for tag in entry.get("tags", ()) if tag != mark]
    rest = {name: value for name, value in entry.items() if name != "tags"}
    return {**rest, "tags": tags} if tags else rest
