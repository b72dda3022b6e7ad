"""The process that evaluates one JSONata expression: started with an empty environment, bounded, and thrown away.

Not imported by the service. It reads one JSON object from its input, and writes one.
"""

from __future__ import annotations

import json
import resource
import sys


def main() -> None:
    """Evaluate what comes on standard input."""
    limit_s, memory = int(sys.argv[1]), int(sys.argv[2])
    sys.path[:0] = sys.argv[3:]
    import jlens

    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    asked = json.load(sys.stdin)
    try:
        value = jlens.Expression(asked["code"]).evaluate(
            asked["input"],
            timeout=asked["timeout_s"],
            max_depth=500,
            max_string_length=asked["most"],
            max_array_length=1_000_000,
            max_result_size=asked["most"],
            seed=0,
            now=0,
        )
        answer = {"value": value}
    except jlens.JlensError as problem:
        answer = {"error": str(problem)[:1000]}
    except (MemoryError, RecursionError) as problem:
        answer = {"error": type(problem).__name__}
    json.dump(answer, sys.stdout, allow_nan=False)


if __name__ == "__main__":
    main()
