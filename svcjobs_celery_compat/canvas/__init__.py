"""Canvas: signatures of tasks, and how they are composed to workflows.

The names are those of ``celery.canvas``, those that start with an underscore too: code and tests import and replace
them here, so :func:`uuid` is looked up here where that matters.
"""

from kombu.utils.uuid import uuid

from svcjobs_celery_compat.canvas.chains import _chain, _prepare_chain_from_options, chain
from svcjobs_celery_compat.canvas.chords import _chord, chord
from svcjobs_celery_compat.canvas.folding import (
    _fold_chain,
    _is_empty_group,
    _merge_chain_step,
    maybe_unroll_group,
)
from svcjobs_celery_compat.canvas.groups import _maybe_group, _stamp_regen_task, group
from svcjobs_celery_compat.canvas.links import (
    _CHAIN_RUN_OPTIONS,
    _clear_chord_option,
    _clone_with_members,
    _first_task_options,
    _is_chain_led_by_task,
    _link_error_to_body_tasks,
    _strip_chord_header_links,
)
from svcjobs_celery_compat.canvas.mapping import _basemap, chunks, xmap, xstarmap
from svcjobs_celery_compat.canvas.signatures import (
    Signature,
    maybe_signature,
    maybe_subtask,
    signature,
    subtask,
    task_name_from,
)
from svcjobs_celery_compat.canvas.stamps import StampingVisitor, _merge_dictionaries
from svcjobs_celery_compat.utils import abstract
from svcjobs_celery_compat.utils.functional import _regen, is_list, maybe_list, regen

__all__ = (
    "_CHAIN_RUN_OPTIONS",
    "Signature",
    "StampingVisitor",
    "_basemap",
    "_chain",
    "_chord",
    "_clear_chord_option",
    "_clone_with_members",
    "_first_task_options",
    "_fold_chain",
    "_is_chain_led_by_task",
    "_is_empty_group",
    "_link_error_to_body_tasks",
    "_maybe_group",
    "_merge_chain_step",
    "_merge_dictionaries",
    "_prepare_chain_from_options",
    "_regen",
    "_stamp_regen_task",
    "_strip_chord_header_links",
    "abstract",
    "chain",
    "chord",
    "chunks",
    "group",
    "is_list",
    "maybe_list",
    "maybe_signature",
    "maybe_subtask",
    "maybe_unroll_group",
    "regen",
    "signature",
    "subtask",
    "task_name_from",
    "uuid",
    "xmap",
    "xstarmap",
)
