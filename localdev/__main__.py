"""``scripts/dev``: make the environments, then become the supervisor (or what the first argument names)."""

from __future__ import annotations

import sys

from chalicelib import settings
from chalicelib.core.errors import SettingsError
from localdev import environments

DEPLOYED = "--deployed"
OPTIONS = (DEPLOYED, "--until-eof")


def main() -> int:
    """Returns only when something is wrong, with one line that says what."""
    arguments = sys.argv[1:]
    if unknown := [argument for argument in arguments if argument not in OPTIONS]:
        print(f"scripts/dev: no such option: {unknown[0]} (there are {' and '.join(OPTIONS)})", file=sys.stderr)
        return 2
    try:
        chosen = settings.from_environment()
        if chosen.tls_cert is not None and DEPLOYED in arguments:
            raise SettingsError("CHRONO_TLS_CERT", f"is not for {DEPLOYED}: on AWS it is API Gateway that speaks TLS")
        needs_emulator = chosen.endpoint_url is None
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


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
