"""Results in files (``file:///path/to/folder``): one a result, in a folder that all workers share."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from kombu.utils.encoding import ensure_bytes

from svcjobs_celery_compat.backends.base import KeyValueStoreBackend
from svcjobs_celery_compat.exceptions import ImproperlyConfigured

E_NO_PATH_SET = "You need to configure a path for the file-system backend"
E_PATH_NON_CONFORMING_SCHEME = "A path for the file-system backend should conform to the file URI scheme"
E_PATH_INVALID = (
    "The folder of the file-system backend can't be written: it has to exist, with permissions for all workers"
)
LOCAL = ("file:///", "file://localhost/")


class FilesystemBackend(KeyValueStoreBackend):
    """Results in files. What is older than ``result_expires`` is removed by ``celery.backend_cleanup``.

    Args:
        url: ``file:///`` and the folder's path.
        kwargs: those of :class:`Backend`.

    Raises:
        ImproperlyConfigured: the URL is no ``file:`` URL, or the folder can't be written.
    """

    supports_result_compression = True

    def __init__(self, url: str | None = None, **kwargs: Any) -> None:
        super().__init__(url=url, **kwargs)
        self.path = ensure_bytes(self._folder(url))
        try:
            self.set(b".check", b"")
            self.delete(b".check")
        except OSError as error:
            raise ImproperlyConfigured(E_PATH_INVALID) from error

    @staticmethod
    def _folder(url: str | None) -> str:
        if not url:
            raise ImproperlyConfigured(E_NO_PATH_SET)
        for scheme in LOCAL:
            if url.startswith(scheme):
                return "/" + url.removeprefix(scheme)
        raise ImproperlyConfigured(E_PATH_NON_CONFORMING_SCHEME)

    def _file(self, key: Any) -> Path:
        name = os.fsdecode(ensure_bytes(key))
        if "/" in name or os.sep in name or "\0" in name:
            raise ValueError("the id of a task or group has a slash in it: the file-system backend can't store it")
        return Path(os.fsdecode(self.path)) / name

    def get(self, key: Any) -> Any:
        """What is stored under `key`, None when nothing is."""
        try:
            return self._file(key).read_bytes()
        except FileNotFoundError:
            return None

    def set(self, key: Any, value: Any) -> None:
        """Store `value` under `key`; whoever reads meanwhile sees what was there before."""
        target = self._file(key)
        written = target.with_name(f".{uuid4().hex}")
        try:
            written.write_bytes(ensure_bytes(value))
            written.replace(target)
        except BaseException:
            written.unlink(missing_ok=True)
            raise

    def mget(self, keys: Any) -> list[Any]:
        """What is stored under each key."""
        return [self.get(key) for key in keys]

    def delete(self, key: Any) -> None:
        """Remove `key`."""
        self._file(key).unlink(missing_ok=True)

    def cleanup(self) -> None:
        """Remove what is older than ``result_expires``."""
        if not self.expires:
            return
        before = time.time() - self.expires
        for file in Path(os.fsdecode(self.path)).iterdir():
            try:
                if file.is_file() and file.stat().st_mtime < before:
                    file.unlink()
            except FileNotFoundError:  # another worker removes as well
                continue

    def __reduce__(self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        return super().__reduce__(args, {**(kwargs or {}), "url": self.url})
