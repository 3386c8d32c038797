"""Backends over a key-value store: one key a result, one a group, one a chord."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kombu.utils.encoding import bytes_to_str, ensure_bytes

from svcjobs_celery_compat import states
from svcjobs_celery_compat.backends import base
from svcjobs_celery_compat.backends.base.backend import Backend
from svcjobs_celery_compat.backends.base.failures import _create_chord_error_with_cause
from svcjobs_celery_compat.backends.base.sync import Pauses
from svcjobs_celery_compat.exceptions import BackendStoreError, TimeoutError
from svcjobs_celery_compat.result import allow_join_result, result_from_tuple

logger = logging.getLogger("celery.backends.base")


class BaseKeyValueStoreBackend(Backend):
    """A store with ``get``, ``mget``, ``set`` and ``delete``; with ``incr`` and ``expire`` it counts chords itself.

    Keys are ``celery-task-meta-<task id>``, ``celery-taskset-meta-<group id>`` and ``chord-unlock-<group id>``, after
    the ``global_keyprefix`` of ``result_backend_transport_options``.
    """

    key_t: Callable[[Any], Any] = staticmethod(ensure_bytes)
    task_keyprefix: Any = "celery-task-meta-"
    group_keyprefix: Any = "celery-taskset-meta-"
    chord_keyprefix: Any = "chord-unlock-"
    implements_incr = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        options = self.app.conf.get("result_backend_transport_options") or {}
        prefix = options.get("global_keyprefix") or ""
        if prefix and prefix[-1].isalnum():
            prefix += "_"
        for name in ("task_keyprefix", "group_keyprefix", "chord_keyprefix"):
            setattr(self, name, self.key_t(prefix + bytes_to_str(getattr(type(self), name))))

    @property
    def chord_expires(self) -> Any:
        """Seconds that what counts a chord is kept: ``result_chord_expires``, or else as long as results."""
        value = self.app.conf.get("result_chord_expires")
        return self.expires if value is None else self.prepare_expires(value)

    @property
    def _chord_result_expires(self) -> Any:
        """Seconds that results of members are kept while their chord runs: at least as long as it can take."""
        if not self.expires or not self.chord_expires:
            return 0
        return max(self.expires, self.chord_expires)

    def get(self, key: Any) -> Any:
        """What is stored under `key`, None when nothing is."""
        raise NotImplementedError("Must implement the get method.")

    def mget(self, keys: Any) -> Any:
        """What is stored under each key: a list in their order, or a mapping."""
        raise NotImplementedError("Does not support get_many")

    def set(self, key: Any, value: Any) -> Any:
        """Store `value` under `key`."""
        raise NotImplementedError("Must implement the set method.")

    def _set_with_state(self, key: Any, value: Any, state: str) -> Any:
        """Store the result of a task in that state; a store may treat states differently."""
        return self.set(key, value)

    def delete(self, key: Any) -> Any:
        """Remove `key`."""
        raise NotImplementedError("Must implement the delete method")

    def incr(self, key: Any) -> Any:
        """Add 1 to what is under `key`, and return it."""
        raise NotImplementedError("Does not implement incr")

    def expire(self, key: Any, value: Any) -> Any:
        """Let `key` go away in `value` seconds."""
        raise NotImplementedError("Does not implement expire")

    def get_key_for_task(self, task_id: Any, key: str | bytes = "") -> Any:
        """The key of a task's result."""
        return self._get_key_for(self.task_keyprefix, task_id, key)

    def get_key_for_group(self, group_id: Any, key: str | bytes = "") -> Any:
        """The key of a group, or of what counts it (`key` is then a suffix)."""
        return self._get_key_for(self.group_keyprefix, group_id, key)

    def get_key_for_chord(self, group_id: Any, key: str | bytes = "") -> Any:
        """The key of a chord's counter."""
        return self._get_key_for(self.chord_keyprefix, group_id, key)

    def _get_key_for(self, prefix: Any, id: Any, key: str | bytes = "") -> Any:
        if not id:
            raise ValueError(f"the id {id!r} has no key: give the id of a task or group")
        if type(id) is str and type(prefix) is bytes and not key:
            return prefix + id.encode()  # as below, which takes kombu six calls
        key_t = self.key_t
        return key_t("").join((prefix, key_t(bytes_to_str(id) if isinstance(id, bytes) else str(id)), key_t(key)))

    def _strip_prefix(self, key: Any) -> str:
        """The id in a key."""
        name: str = bytes_to_str(key)
        for prefix in (self.task_keyprefix, self.group_keyprefix, self.chord_keyprefix):
            if name.startswith(bytes_to_str(prefix)):
                return name.removeprefix(bytes_to_str(prefix))
        return name

    def _filter_ready(
        self, values: Iterable[tuple[Any, Any]], READY_STATES: Iterable[str] = states.READY_STATES
    ) -> Iterator[tuple[Any, dict[str, Any]]]:
        for key, value in values:
            if value is not None:
                meta = self.decode_result(value)
                if meta["status"] in READY_STATES:
                    yield key, meta

    def _mget_to_results(
        self, values: Any, keys: list[Any], READY_STATES: Iterable[str] = states.READY_STATES
    ) -> dict[str, dict[str, Any]]:
        if isinstance(values, Mapping):
            pairs: Iterable[tuple[Any, Any]] = values.items()
        else:
            pairs = zip(keys, values, strict=False)
        return {self._strip_prefix(key): meta for key, meta in self._filter_ready(pairs, READY_STATES)}

    def get_many(
        self,
        task_ids: Iterable[str],
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_message: Callable[[Any], Any] | None = None,
        on_interval: Callable[[], Any] | None = None,
        max_iterations: int | None = None,
        READY_STATES: Iterable[str] = states.READY_STATES,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Id and stored result of each task, as they become ready.

        Args:
            timeout: seconds after which a TimeoutError is raised.
            interval: seconds between two looks.
            on_message: called with each stored result.
            on_interval: called after each look.
            max_iterations: how often it is looked at most; what isn't ready by then is left out.
        """
        ids = {bytes_to_str(task_id): None for task_id in task_ids}  # a set that keeps its order
        for task_id in list(ids):
            if self._is_ready_in_cache(task_id, READY_STATES):
                del ids[task_id]
                yield task_id, self._cache[task_id]
        pauses, looks = Pauses(timeout, interval), 0
        while ids:
            keys = [self.get_key_for_task(task_id) for task_id in ids]
            found = self._mget_to_results(self.mget(keys), keys, READY_STATES)
            for task_id, meta in found.items():
                del ids[task_id]
                self._cache[task_id] = meta
                if on_message is not None:
                    on_message(meta)
                yield task_id, meta
            looks += 1
            if on_interval:
                on_interval()
            if not ids or (max_iterations and looks >= max_iterations):
                return
            if not pauses.pause():
                raise TimeoutError(f"Operation timed out ({timeout})")

    def _is_ready_in_cache(self, task_id: str, READY_STATES: Iterable[str]) -> bool:
        return task_id in self._cache and self._cache[task_id]["status"] in READY_STATES

    def _forget(self, task_id: str) -> None:
        self.delete(self.get_key_for_task(task_id))

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        if self._succeeded_before(task_id, state):
            return result
        meta = self._get_result_meta(result, state, traceback, request)
        meta["task_id"] = bytes_to_str(task_id)
        try:
            self._set_with_state(self.get_key_for_task(task_id), self.encode(meta), state)
        except BackendStoreError as error:
            raise BackendStoreError(str(error), state=state, task_id=task_id) from error
        return result

    def _succeeded_before(self, task_id: str, state: str) -> bool:
        """Whether a copy of the task is late with `state`: success stays."""
        return bool(self._get_task_meta_for(task_id)["status"] == states.SUCCESS)

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        stored = self.get(self.get_key_for_task(task_id))
        return self.decode_result(stored) if stored else {"status": states.PENDING, "result": None}

    def task_result_exists(self, task_id: str) -> bool:
        """Whether anything is stored about a task."""
        return bool(self.get(self.get_key_for_task(task_id)))

    def _save_group(self, group_id: str, result: Any) -> Any:
        self._set_with_state(
            self.get_key_for_group(group_id), self.encode({"result": result.as_tuple()}), states.SUCCESS
        )
        return result

    def _restore_group(self, group_id: str) -> Any:
        stored = self.get(self.get_key_for_group(group_id))
        if not stored:
            return None
        meta = self.decode(stored)
        meta["result"] = result_from_tuple(meta["result"], self.app)
        return meta

    def _delete_group(self, group_id: str) -> None:
        self.delete(self.get_key_for_group(group_id))

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> Any:
        """Prepare the counting, or else send the task that asks whether all members are done."""
        if self.implements_incr:
            return self._apply_chord_incr(header_result_args, body, **kwargs)
        return super().apply_chord(header_result_args, body, **kwargs)

    def _apply_chord_incr(self, header_result_args: Any, body: Any, **kwargs: Any) -> Any:
        self.ensure_chords_allowed()
        self.app.GroupResult(*header_result_args).save(backend=self)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> Any:
        """Count a member; the last one starts the body with all results."""
        if not self.implements_incr or not request.group:
            return
        try:
            members = base.GroupResult.restore(request.group, backend=self)
            if members is None:
                raise ValueError(f"GroupResult {request.group} no longer exists")
        except Exception as error:  # noqa: BLE001  # whatever it is, the chord fails with it
            self._fail_chord(request, f"Cannot restore group: {error!r}", error)
        else:
            self._count_part(request, members)

    def _fail_chord(self, request: Any, message: str, error: Exception) -> None:
        logger.error("Chord %r raised: %r", request.group, error, exc_info=error)
        callback = base.maybe_signature(request.chord, app=self.app)
        self.chord_error_from_stack(callback, _create_chord_error_with_cause(message, error))

    def _count_part(self, request: Any, members: Any) -> None:
        key = self.get_key_for_chord(request.group)
        count = self.incr(key)
        size = request.chord.get("chord_size")
        size = len(members) if size is None else size
        if count > size:
            logger.warning("Chord counter incremented too many times for %r", request.group)
        elif count == size:
            try:
                self._finish_chord(request, members)
            finally:
                members.delete()
                self.delete(key)
                self._let_results_expire(members)
        elif self.supports_autoexpire:
            self.expire(key, self.chord_expires)
            self.expire(self.get_key_for_group(request.group), self._chord_result_expires)
            self.expire(self.get_key_for_task(request.id), self._chord_result_expires)

    def _let_results_expire(self, members: Any) -> None:
        """The chord is over: results of its members go when any other would."""
        if self.supports_autoexpire and self.expires and self._chord_result_expires != self.expires:
            for member in members.results:
                self.expire(self.get_key_for_task(member.id), self.expires)

    def _finish_chord(self, request: Any, members: Any) -> None:
        join = members.join_native if members.supports_native_join else members.join
        try:
            with allow_join_result():
                values = join(timeout=self.app.conf.result_chord_join_timeout, propagate=True)
        except Exception as error:  # noqa: BLE001  # that of a member's task
            culprit = next(members._failed_join_report(), None)
            message = f"Dependency {culprit.id} raised {error!r}" if culprit else repr(error)
            self._fail_chord(request, message, error)
            return
        try:
            base.maybe_signature(request.chord, app=self.app).delay(values)
        except Exception as error:  # noqa: BLE001  # whatever it is, the chord fails with it
            self._fail_chord(request, f"Callback error: {error!r}", error)
