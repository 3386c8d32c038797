"""Chords in Redis: each member is counted once, and one caller starts the body.

The keys of a chord are those of its group with a suffix: ``.j`` the parts, ``.s`` the size, ``.t`` members that were
added later, ``.d`` the members that were counted, ``.c`` who starts the body (a token for as long as that may take, and
then ``done``). No task asks whether the members are done.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any
from uuid import uuid4

from kombu.utils.encoding import bytes_to_str

from svcjobs.effects import SetResult
from svcjobs_celery_compat import states
from svcjobs_celery_compat.backends import redis as names
from svcjobs_celery_compat.backends.base import BaseKeyValueStoreBackend, _create_chord_error_with_cause
from svcjobs_celery_compat.exceptions import ChordError
from svcjobs_celery_compat.outcome import database_of, effects_for
from svcjobs_celery_compat.result import GroupResult, allow_join_result
from svcjobs_celery_compat.utils.functional import _regen

DONE_SECONDS = 300  # how long a late copy of a member may come
TOKEN = 7  # its place among the script's arguments
DEFAULT_RETRIES = 3  # of a publish, when there is no limit


class RedisChords(BaseKeyValueStoreBackend):
    """The part of the Redis backend that counts chords."""

    client: Any
    _transport_options: Any
    _check_size: Callable[[Any], None]

    @cached_property
    def _chord_zset(self) -> bool:
        """Whether the body gets the results in the order of the members, or as they came in."""
        return bool(self._transport_options.get("result_chord_ordered", True))

    @cached_property
    def _chord_part_return_script(self) -> Any:
        return self.client.register_script(names.CHORD_PART_RETURN_LUA)

    @cached_property
    def _chord_claim_extend_script(self) -> Any:
        return self.client.register_script(names.CHORD_CLAIM_EXTEND_LUA)

    @cached_property
    def _chord_cleanup_script(self) -> Any:
        return self.client.register_script(names.CHORD_CLEANUP_LUA)

    def add_to_chord(self, group_id: str, result: Any) -> None:
        """One more member."""
        self.client.incr(self.get_key_for_group(group_id, ".t"), 1)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Keep the number of members; a chord of that id may have been before."""
        self.client.delete(self.get_key_for_group(group_id, ".c"))
        self.client.set(self.get_key_for_group(group_id, ".s"), chord_size, ex=self._chord_seconds())

    def _chord_seconds(self) -> int | None:
        return int(self.chord_expires) if self.chord_expires else None

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> None:
        """Keep the group, when a member is one itself: the body then gets what its results are.

        An iterator isn't read for that: its tasks are sent while it goes on.
        """
        if isinstance(header_result_args[1], _regen):
            return
        result = self.app.GroupResult(*header_result_args)
        if any(isinstance(member, GroupResult) for member in result.results):
            self._set_chord_key(self.get_key_for_group(result.id), self.encode({"result": result.as_tuple()}))

    def _set_chord_key(self, key: Any, value: Any) -> None:
        self._check_size(value)
        self.client.set(key, value, ex=self._chord_seconds())

    def chord_part(self, request: Any, state: str, result: Any) -> tuple[list[Any], list[Any]]:
        """Keys and arguments of the script that counts a member, without the token of who asks."""
        group_id, index = request.group, request.group_index
        keys = [self.get_key_for_group(group_id, suffix) for suffix in (".j", ".t", ".s", ".d", "", ".c")]
        part = self.encode([1, request.id, state, self.encode_result(result, state)])
        place = "+inf" if index is None else index
        seconds, group_seconds = int(self.chord_expires or 0), int(self._chord_result_expires or 0)
        ordered = int(self._chord_zset)
        return keys, [request.id, part, ordered, place, seconds, group_seconds, self._claim_seconds()]

    def _claim_seconds(self) -> int:
        timeout: float = self.app.conf.result_chord_join_timeout
        return max(1, math.ceil(2 * timeout))

    def on_chord_part_return(
        self, request: Any, state: str, result: Any, propagate: bool | None = None, **kwargs: Any
    ) -> None:
        """Count a member; the last one starts the body.

        Any number of copies of a member count once, and of several that are the last one starts the body: the others
        see its claim, which runs out if it dies before it is through.

        In a worker whose queue is on the same server, the body and the end of the count commit with the outcome of the
        member. The claim is the member's then, not the copy's: when a worker dies, the copy that another one gets
        starts the body, and of two that run the lease lets one commit.
        """
        if not request.id or not request.group:
            return
        keys, args = self.chord_part(request, state, result)
        commits = effects_for(self.client) is not None
        if commits:
            args += [f"{request.id}:{request.group_index}", int(_runs_again(request))]
        else:
            args.append(uuid4().hex)
        token = args[TOKEN]
        parts, added, size, claimed = self._run_script(self._chord_part_return_script, keys, args)
        total = int(size or 0) + int(added or 0)
        if commits and not claimed and size and parts == total:  # a copy of the last member may have died
            claimed = self._extend_claim(keys, token, self._claim_seconds())
        if claimed:
            self._start_body(request, keys, token, total, {"status": state, "result": result})

    def _start_body(self, request: Any, keys: list[Any], token: str, total: int, own: dict[str, Any]) -> None:
        callback = names.maybe_signature(request.chord, app=self.app)
        try:
            values = self._chord_values(request, keys[0], total, own)
        except Exception as error:  # noqa: BLE001  # that of a member, or the body can't have its results
            if not isinstance(error, ChordError):
                error = _create_chord_error_with_cause(f"Join error: {error!r}", error)
            self._fail(request, callback, error)
            self._remove_size(keys[2])
            return
        if not self._extend_claim(keys, token, self._chord_publish_claim_expires(self._claim_seconds(), callback)):
            return  # another copy of the last member was faster
        try:
            self._publish_body(callback, values)
        except Exception as error:  # noqa: BLE001  # it can't be sent
            self._fail(request, callback, _create_chord_error_with_cause(f"Callback error: {error!r}", error))
        self._end_count(keys, token)

    def _extend_claim(self, keys: list[Any], token: str, seconds: int) -> Any:
        return self._run_script(self._chord_claim_extend_script, [keys[5], keys[2]], [token, seconds])

    def _run_script(self, script: Any, keys: list[Any], args: list[Any]) -> Any:
        return script(keys=keys, args=args, client=self.client)

    def _end_count(self, keys: list[Any], token: str) -> None:
        parts, added, size, counted, _, claim = keys
        effects = effects_for(self.client)
        if effects is None:
            self._run_script(self._chord_cleanup_script, [claim, parts, added, size, counted], [token, DONE_SECONDS])
        else:
            effects.append(self._effect(claim, "done", DONE_SECONDS))
            effects.extend(self._removal(key) for key in (parts, added, size, counted))

    def _effect(self, key: Any, value: Any, seconds: float | None, publish: bool = False) -> SetResult:
        name = bytes_to_str(key)
        return SetResult(name, value, seconds or None, name if publish else None, database_of(self.client))

    def _removal(self, key: Any) -> SetResult:
        return self._effect(key, "", 0.001)  # whatever was there is replaced, and goes

    def _fail(self, request: Any, callback: Any, error: Exception) -> None:
        names.logger.error("Chord %r raised: %r", request.group, error, exc_info=error)
        self.chord_error_from_stack(callback, error)

    def _remove_size(self, key: Any) -> None:
        """The parts stay for people to look at; without a size no copy of a member is the last."""
        effects = effects_for(self.client)
        if effects is None:
            self.client.delete(key)
        else:
            effects.append(self._removal(key))

    def _publish_body(self, callback: Any, values: Any) -> None:
        from svcjobs_celery_compat.app.amqp.retrying import _callback_publish_retry

        retries = _callback_publish_retry.set(True)
        try:
            callback.delay(values)
        finally:
            _callback_publish_retry.reset(retries)

    def _chord_values(self, request: Any, parts_key: Any, total: int, own: dict[str, Any]) -> Any:
        """What the members returned; `own` is what the one of `request` did.

        Raises:
            ChordError: a member failed.
        """
        group = GroupResult.restore(request.group, app=self.app)
        if group is not None:  # with groups among its members
            if effects_for(self.client) is not None:
                _tell(group, request.id, own)
            join = group.join_native if group.supports_native_join else group.join
            with allow_join_result():
                return join(timeout=self.app.conf.result_chord_join_timeout, propagate=True)
        return [self._unpack_chord_result(part, self.decode) for part in self._parts(parts_key, total)]

    def _parts(self, parts_key: Any, total: int) -> Any:
        with self.client.pipeline() as pipe:
            if self._chord_zset:
                pipe.zrange(parts_key, 0, -1)
            else:
                pipe.lrange(parts_key, 0, total)
            (parts,) = pipe.execute()
        return parts

    def _unpack_chord_result(
        self,
        tup: Any,
        decode: Callable[[Any], Any],
        EXCEPTION_STATES: Iterable[str] = states.EXCEPTION_STATES,
        PROPAGATE_STATES: Iterable[str] = states.PROPAGATE_STATES,
    ) -> Any:
        _, task_id, state, value = decode(tup)
        if state in EXCEPTION_STATES:
            value = self.exception_to_python(value)
        if state in PROPAGATE_STATES:
            raise _create_chord_error_with_cause(f"Dependency {task_id} raised {value!r}", value)
        return value

    def _chord_publish_claim_expires(self, initial_expires: int, callback: Any) -> int:
        """Seconds that sending the body can take: for each attempt the timeout of a connection, and the pauses."""
        conf = self.app.conf
        connect: float | None = conf.broker_connection_timeout
        if connect is None:
            return 2 * initial_expires
        retry = callback.options.get("retry")
        retries, pauses = 0, 0.0
        if conf.task_publish_retry if retry is None else retry:
            policy: Mapping[str, Any] = {
                **(conf.task_publish_retry_policy or {}), **(callback.options.get("retry_policy") or {})
            }  # fmt: skip
            retries = policy.get("max_retries", DEFAULT_RETRIES)
            retries = DEFAULT_RETRIES if retries is None else retries
            start, step = policy.get("interval_start", 0), policy.get("interval_step", 0.2)
            longest = policy.get("interval_max", 1)
            pauses = sum(min(start + step * each, longest) for each in range(retries))
        return max(initial_expires, math.ceil((retries + 2) * connect + pauses))


def _runs_again(request: Any) -> bool:
    """Whether an earlier run of a member was lost: what it counted isn't what commits. Without a place it stays."""
    return bool((request.delivery_info or {}).get("redelivered")) and request.group_index is not None


def _tell(group: Any, task_id: str, meta: dict[str, Any]) -> None:
    """Let the member of `group` with that id know its result, which isn't stored yet."""
    for member in group.results:
        if isinstance(member, GroupResult):
            _tell(member, task_id, meta)
        elif member.id == task_id:
            member._maybe_set_cache(meta)
