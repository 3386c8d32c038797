"""Do the tests notice? Break the queue on a copy, one way after the other, and see the named tests turn red.

``python -m tests.chaos.mutations [word]`` runs those whose name holds the word; not part of the test run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LUA = "svcjobs/_redis/lua"
REDIS = "tests/integration/redis"


@dataclass(frozen=True, slots=True)
class Mutation:
    """A piece of a file that is replaced, and the tests that must fail then."""

    name: str
    path: str
    old: str
    new: str
    tests: str
    select: str


MUTATIONS = (
    Mutation("the token isn't compared", f"{LUA}/fragments/settle.lua",
             "if seen[id] or fields[1] ~= lease then return nil end", "if seen[id] then return nil end",
             f"{REDIS}/test_stale_leases.py", "stale or stopped"),
    Mutation("a repeat isn't recognised", f"{LUA}/fragments/request.lua",
             "    return reply\n  end\n  return nil, 'SVCJOBS", "    return nil\n  end\n  return nil, 'SVCJOBS",
             f"{REDIS}/test_lost_replies.py", "takes_effect_once"),
    Mutation("a request given up long ago is carried out", f"{LUA}/fragments/request.lua",
             "return nil, 'SVCJOBS ABANDONED request ' .. nonce .. '/' .. number .. ' came after a later one'",
             "return nil", f"{REDIS}/test_lost_replies.py", "arrives_after_its_retry"),
    Mutation("an empty reserve isn't remembered", f"{LUA}/reserve.lua",
             "\nremember_reply(P", "\nif #batch.ids > 0 then remember_reply(P",
             f"{REDIS}/test_lost_replies.py", "arrives_late_takes_no_job"),
    Mutation("ticks aren't compared", f"{LUA}/claim_tick.lua",
             "if last and last >= tonumber(ARGV[5]) then return '' end", "",
             "tests/conformance", "tick"),
    Mutation("a tick of the far future is taken", f"{LUA}/claim_tick.lua",
             "if ahead > tonumber(ARGV[6])", "if false", "tests/conformance/test_keeping.py", "far_ahead"),
    Mutation("a cancelled attempt is retried", f"{LUA}/fragments/settle.lua",
             "redis.call('HGET', key, 'cancel') == lease", "false", "tests/conformance/test_cancel.py", "followed"),
    Mutation("a cancel is forgotten with its worker", f"{LUA}/reserve.lua",
             "if fields.cancel then return 'cancelled', attempts end", "",
             "tests/conformance/test_cancel.py", "worker_is_lost"),
    Mutation("the mark of a suspect stays", f"{LUA}/release.lua",
             "'lease', 'suspect')", "'lease')", "tests/conformance/test_limits_and_suspects.py", "says_nothing"),
    Mutation("types aren't checked before settling", f"{LUA}/fragments/settle.lua",
             "  return wrong_type(P, {':processing', 'list',", "  return nil and wrong_type(P, {':processing', 'list',",
             f"{REDIS}/test_corrupt_keys.py", "wrong_type"),
    Mutation("ready lists that aren't in use aren't checked", f"{LUA}/fragments/ready.lua",
             "    return nil\n  end\n  for level = 1, 9 do", "    return nil\n  end\n  for level = 1, 0 do",
             f"{REDIS}/test_corrupt_keys.py", "wrong_type"),
    Mutation("counters are taken as they are", f"{LUA}/fragments/types.lua",
             "#value <= 15)", "true)", f"{REDIS}/test_corrupt_keys.py", "no_number"),
    Mutation("a full server isn't opened by removing nothing", f"{LUA}/fragments/settle.lua",
             "  redis.call('ZREM', P .. ':processing_vt', '')\n", "",
             f"{REDIS}/test_full_server.py", "goes_on or lost_worker or buries"),
    Mutation("durations that are no numbers are taken", f"{LUA}/fragments/clock.lua",
             "if not seconds or seconds ~= seconds then return nil end\n"
             "  return math.max(-LONGEST_SECONDS, math.min(seconds, LONGEST_SECONDS))", "return seconds",
             f"{REDIS}/test_corrupt_jobs.py", "spoilt_while_it_runs"),
    Mutation("an id pushed twice is leased twice", f"{LUA}/reserve.lua",
             "if batch.seen[id] then return nil end", "", f"{REDIS}/test_corrupt_jobs.py", "pushed_twice"),
    Mutation("a ready job wakes nobody", f"{LUA}/fragments/ready.lua",
             "if length == #ids then wake(P) end", "",
             f"{REDIS}/test_delays_and_wake.py", "batch_wakes"),
    Mutation("a worker that leaves work behind passes on no token", f"{LUA}/reserve.lua",
             "left_behind = left_behind or has.lengths[at] > math.max(taken, 0)", "",
             f"{REDIS}/test_delays_and_wake.py", "batch_wakes"),
    Mutation("a new first delayed job wakes nobody", f"{LUA}/fragments/wake.lua",
             "redis.call('ZRANGE', P .. set, 0, 0)[1] == id then", "false then",
             f"{REDIS}/test_delays_and_wake.py", "earlier_delay or never_early"),
    Mutation("delayed jobs come early", f"{LUA}/fragments/sweep.lua",
             "P .. ':delayed', '-inf', exact(now),", "P .. ':delayed', '-inf', exact(now + 0.05),",
             f"{REDIS}/test_delays_and_wake.py", "never_early"),
    Mutation("ids without a lease aren't adopted", f"{LUA}/reserve.lua",
             "adopt(P, now, visibility, SWEEP)\n", "", f"{REDIS}/test_corrupt_jobs.py", "mid_flight"),
    Mutation("a reclaimed job keeps its token", f"{LUA}/fragments/sweep.lua",
             "if redis.call('HDEL', key, 'lease') == 1 then", "if redis.call('HGET', key, 'lease') then",
             "tests/chaos/test_kill_steps.py", "reclaim or random"),
    Mutation("a failed job isn't taken off processing", f"{LUA}/fragments/settle.lua",
             "  redis.call('LREM', P .. ':processing', from_oldest and -1 or 1, id)\n", "",
             "tests/chaos/test_kill_steps.py", "fail"),
    Mutation("the leased list is searched from the wrong end", f"{LUA}/fragments/settle.lua",
             "from_oldest and -1 or 1", "from_oldest and 1 or -1", f"{REDIS}/test_cost.py", "hundred_thousand"),
    Mutation("a relayed effect isn't marked as done", f"{LUA}/relay.lua",
             "if not redis.call('SET', ARGV[2], '1', 'NX', 'EX', 86400) then return 0 end", "",
             f"{REDIS}/test_cluster.py", "killed or two_relays"),
    Mutation("an effect that is refused stays in the way", "svcjobs/_redis/relay.py",
             "                except (QueueUnavailable, QueueFull) as",
             "                except (JobsError, ValueError) as", f"{REDIS}/test_cluster.py", "never_be_carried"),
    Mutation("a failed relay fails the call it follows", "svcjobs/_redis/protocol.py",
             "yield from self._relay.by_the_way()", "yield from self._relay.effects()",
             f"{REDIS}/test_cluster.py", "node_that_is_away"),
    Mutation("a forked child keeps its parent's nonces", "svcjobs/_redis/requests.py",
             "if self._pid != os.getpid():", "if False:", f"{REDIS}/test_fork_and_threads.py", "forked"),
    Mutation("calls aren't tried again", "svcjobs/_redis/link.py",
             "if not is_passing(error) or left <= 0:", "if True:",
             f"{REDIS}/test_lost_replies.py", "takes_effect_once"),
    Mutation("errors are told apart by their text only", "svcjobs/_redis/failures.py",
             "        if isinstance(error, raised):\n", "        if False:\n",
             f"{REDIS}/test_unavailable.py", "answers_with or becomes_a_replica"),
    Mutation("a sentinel's TLS is dropped", "svcjobs/_redis/connections.py",
             '    options["connection_class"] = pool.connection_class  # with TLS or without\n', "",
             "tests/chaos/test_failover.py", "keeps"),
    Mutation("an id that is no text is changed on its way", "svcjobs/_redis/codec.py",
             'job_id.decode("utf-8", "surrogateescape")', 'job_id.decode("utf-8", "backslashreplace")',
             f"{REDIS}/test_corrupt_jobs.py", "no_text"),
    Mutation("real workers: the token isn't compared", f"{LUA}/fragments/settle.lua",
             "if seen[id] or fields[1] ~= lease then return nil end", "if seen[id] then return nil end",
             "tests/chaos/test_scenarios_kills.py", "s05"),
    Mutation("real workers: leases aren't extended", "svcjobs/ward.py",
             "return [job for job in self.held if self.extended_at[lease_of(job)] <= extended_before]", "return []",
             "tests/chaos/test_scenarios_time.py", "s04"),
    Mutation("real workers: a stopped child's leases are extended", "svcjobs/ward.py",
             "if self.state is None or self.state.stopped:", "if self.state is None:",
             "tests/chaos/test_scenarios_kills.py", "s05"),
    Mutation("a suspect that waited is no suspect any more", "svcjobs/estate.py",
             " or job.suspect)", ")", "tests/unit/test_estate.py", "turn_had_not_come"),
    Mutation("what a dead child has done runs again", "svcjobs/estate.py",
             "if mark_of(job.job_id, job.lease) in self.done:", "if False:",
             "tests/integration/test_child_keeper.py", "is_not_run_again"),
    Mutation("real schedulers: ticks aren't compared", f"{LUA}/claim_tick.lua",
             "if last and last >= tonumber(ARGV[5]) then return '' end", "",
             "tests/chaos/test_scenarios_ticks.py", "s32"),
    Mutation("real workers: a lost worker isn't charged", f"{LUA}/fragments/sweep.lua",
             "redis.call('HSET', key, 'lost', attempt)", "redis.call('HSET', key, 'attempts', attempt - 1)",
             "tests/chaos/test_scenarios_kills.py", "s02 or s09"),
)  # fmt: skip


def survives(mutation: Mutation) -> str:
    """An empty text when the tests notice, else what is wrong."""
    with tempfile.TemporaryDirectory(prefix="svcjobs-mutation-") as folder:
        copy = Path(folder)
        for name in ("svcjobs", "svcjobs_celery_compat", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        path = copy / mutation.path
        source = path.read_text()
        if source.count(mutation.old) < 1:
            return "the piece to replace isn't there any more"
        changed = source.replace(mutation.old, mutation.new)
        if mutation.new.startswith("\nif #batch"):
            changed = changed.rstrip("\n").replace("'\\n'))\nreturn jobs", "'\\n')) end\nreturn jobs") + "\n"
        path.write_text(changed)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider"]
        command += [mutation.tests, "-k", mutation.select]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode == 1:
        return ""
    return f"pytest ended with {done.returncode}: {done.stdout.strip().splitlines()[-1:]}"


def main(arguments: list[str]) -> int:
    """Try them; 1 when one survives."""
    left = 0
    for mutation in MUTATIONS:
        if arguments and arguments[0] not in mutation.name:
            continue
        problem = survives(mutation)
        left += bool(problem)
        print(f"{'SURVIVES' if problem else 'noticed '}  {mutation.name}  {problem}".rstrip(), flush=True)
    return 1 if left else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
