"""Collections: settings in layers, sets and buffers with a limit."""

from __future__ import annotations

from svcjobs_celery_compat.utils.collections.attributes import AttributeDict, AttributeDictMixin, DictAttribute
from svcjobs_celery_compat.utils.collections.buffers import BufferMap, Evictable, Messagebuffer, OrderedDict
from svcjobs_celery_compat.utils.collections.chain_map import ChainMap, ConfigurationView, force_mapping, lpmerge
from svcjobs_celery_compat.utils.collections.limited_set import LimitedSet

__all__ = (
    "AttributeDict",
    "AttributeDictMixin",
    "BufferMap",
    "ChainMap",
    "ConfigurationView",
    "DictAttribute",
    "Evictable",
    "LimitedSet",
    "Messagebuffer",
    "OrderedDict",
    "force_mapping",
    "lpmerge",
)
