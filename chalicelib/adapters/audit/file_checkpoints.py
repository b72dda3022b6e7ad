"""``CheckpointStore`` in files of one directory, for one machine: safe against who can write the tables alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from chalicelib.core.errors import Unavailable

_DIGITS: Final = 12


class FileCheckpoints:
    """A directory a tenant, a file a checkpoint, which is there whole or not at all and is never written again."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def save(self, tenant: str, count: int, document: str) -> bool:
        """Write a document unless there is one of this count. Raises Unavailable."""
        place = self._place(tenant)
        try:
            place.mkdir(parents=True, exist_ok=True)
            handle, half = tempfile.mkstemp(dir=place, prefix=".half-")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(document)
                    file.flush()
                    os.fsync(file.fileno())
                os.link(half, self._file(tenant, count))
            finally:
                os.unlink(half)
        except FileExistsError:
            return False
        except OSError as error:
            raise Unavailable(f"a checkpoint of the audit cannot be written: {error}") from error
        return True

    def newest(self, tenant: str) -> str | None:
        """The document with the highest count; None: there is none. Raises Unavailable."""
        counts = self.counts(tenant)
        return self.load(tenant, counts[-1]) if counts else None

    def counts(self, tenant: str) -> list[int]:
        """The counts of all documents, from the lowest. Raises Unavailable."""
        return sorted(self._counts(tenant))

    def load(self, tenant: str, count: int) -> str | None:
        """A document. Raises Unavailable."""
        try:
            return self._file(tenant, count).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(f"a checkpoint of the audit cannot be read: {error}") from error

    def _counts(self, tenant: str) -> Iterator[int]:
        try:
            names = os.listdir(self._place(tenant))
        except FileNotFoundError:
            return
        except OSError as error:
            raise Unavailable(f"the checkpoints of the audit cannot be listed: {error}") from error
        for name in names:
            stem, _, suffix = name.partition(".")
            if suffix == "json" and stem.isdigit():
                yield int(stem)

    def _file(self, tenant: str, count: int) -> Path:
        return self._place(tenant) / f"{count:0{_DIGITS}d}.json"

    def _place(self, tenant: str) -> Path:
        return self._directory / ("t-" + quote(tenant, safe="").replace(".", "%2E"))
