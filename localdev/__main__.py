"""``scripts/dev``: make the environments, then become the supervisor (or what the first argument names)."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from chalicelib import configuration, settings
from chalicelib.core.configuration import scheduled_db
from chalicelib.core.errors import SettingsError
from localdev import environments, worker_count

DEPLOYED = "--deployed"
POSTGRES = "--postgres"
OPTIONS = (DEPLOYED, POSTGRES, worker_count.WORKERS, "--until-eof")
_HELP = """usage: scripts/dev [--postgres | --deployed] [--workers N] [--until-eof]

Serves ChronoWatch on this machine, on http://127.0.0.1:8080, until Ctrl-C.
The console is /console, the documentation of every call is /docs.

  --postgres    stores in PostgreSQL in place of an AWS emulator: the one that
                CHRONO_DB_DSN names, or one that this script brings
  --deployed    runs the packaged functions on the emulator, as AWS would
  --workers N   runs so many workers: one takes about one core
  --until-eof   stops when standard input ends
  -h, --help    shows this

Ports and all else are CHRONO_* variables: docs/configuration.md.
State and logs are in .chronowatch: docs/running.md."""
CALLED_FROM = "CALLED_FROM"  # where the caller of scripts/dev stands: relative paths are relative to it


def main() -> int:
    """Returns only with help, or when something is wrong, with one line that says what."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(_HELP)
        return 0
    try:
        arguments = _understand(sys.argv[1:])
        if configuration.chosen_file(os.environ) is not None and importlib.util.find_spec("yaml") is None:
            environments.ensure((environments.PRODUCT,))  # which has what reads the file
            environments.go_on_inside("localdev", arguments)
        chosen = settings.from_environment()
        if chosen.tls_cert is not None and DEPLOYED in arguments:
            raise SettingsError("CHRONO_TLS_CERT", f"is not for {DEPLOYED}: on AWS it is API Gateway that speaks TLS")
        stores_elsewhere = POSTGRES in arguments or chosen.db_dsn is not None
        if DEPLOYED in arguments and worker_count.take(arguments)[0] > 1:
            raise SettingsError(worker_count.WORKERS, f"is not for {DEPLOYED}: on AWS each function scales by itself")
        if stores_elsewhere and DEPLOYED in arguments:
            raise SettingsError(POSTGRES, f"is not for {DEPLOYED}: the packaged product runs on AWS")
        if stores_elsewhere and chosen.endpoint_url is not None:
            raise SettingsError(POSTGRES, "is in place of AWS: unset AWS_ENDPOINT_URL")
        needs_emulator = chosen.endpoint_url is None and not stores_elsewhere
        wanted = (environments.PRODUCT, environments.EMULATOR) if needs_emulator else (environments.PRODUCT,)
        environments.ensure(wanted)
    except SettingsError as problem:
        print(f"scripts/dev: {problem}", file=sys.stderr)
        return 2
    except (environments.EnvironmentFailed, OSError) as problem:
        print(f"scripts/dev: {problem}", file=sys.stderr)
        return 1
    environments.go_on_inside("localdev.supervisor", arguments)
    return 1


def _understand(arguments: list[str]) -> list[str]:
    """Turn Scheduled-DB's flags into variables of this process; what is left of the command line."""
    count, others = worker_count.take(arguments)
    understood = scheduled_db.understand(others, OPTIONS)
    if stray := [argument for argument in understood.rest if argument not in OPTIONS]:
        raise SettingsError(stray[0], f"is no option: there are {', '.join(OPTIONS)}")
    for note in (*understood.notes, *scheduled_db.answers(os.environ)):
        print(f"scripts/dev: {note}", file=sys.stderr)
    os.environ.update(understood.values)
    for name in ("CHRONO_DATA_DIR", "CHRONO_CONFIG"):
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ.get(CALLED_FROM, ""), os.environ[name]))
    return [*understood.rest, *([f"{worker_count.WORKERS}={count}"] if count > 1 else [])]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
