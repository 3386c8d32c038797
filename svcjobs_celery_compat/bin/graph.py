"""``celery graph``: graphs in the language of graphviz."""

from __future__ import annotations

import re
import sys
from operator import itemgetter
from typing import Any

import click

from svcjobs_celery_compat.bin.base import CeleryCommand, handle_preload_options, handle_remote_command_error
from svcjobs_celery_compat.utils.graph import DependencyGraph, GraphFormatter


@click.group()
@click.pass_context
@handle_preload_options
def graph(ctx: click.Context, /, **kwargs: Any) -> None:
    """The ``celery graph`` command."""


@graph.command(cls=CeleryCommand, context_settings={"allow_extra_args": True})
@click.pass_context
def bootsteps(ctx: click.Context, /) -> None:
    """Display bootsteps graph."""
    worker = ctx.obj.app.WorkController()
    wanted = {arg.lower() for arg in ctx.args or ("worker", "consumer")}
    unknown = wanted - {"worker", "consumer"}
    if unknown:
        raise click.UsageError(f"Invalid argument: {', '.join(sorted(unknown))}: give worker, consumer, or both")
    drawn = worker.blueprint if "worker" in wanted else worker.consumer.blueprint
    if wanted == {"worker", "consumer"}:
        drawn.connect_with(worker.consumer.blueprint)
    drawn.graph.to_dot(sys.stdout)


@graph.command(cls=CeleryCommand, context_settings={"allow_extra_args": True})
@click.pass_context
def workers(ctx: click.Context, /) -> None:
    """Display workers graph."""
    # nodes:a,b or nodes=a,b; of a URL, what comes first counts
    arguments = dict([*re.split("[:=]", arg, maxsplit=1), ""][:2] for arg in ctx.args)
    app = ctx.obj.app
    if "nodes" in arguments:
        nodes = arguments["nodes"].split(",")
        threads = {node: arguments.get("threads", "").split(",") for node in nodes}
    else:
        try:
            replies = app.control.inspect().stats() or {}
        except Exception as exc:  # noqa: BLE001 - told as a sentence
            handle_remote_command_error("graph workers", exc)
        threads = {node: [str(pid) for pid in reply["pool"].get("processes", ())] for node, reply in replies.items()}
    broker = arguments.get("broker", app.connection().as_uri())
    backend = arguments.get("backend", app.conf.result_backend)
    drawn = DependencyGraph(formatter=GraphFormatter(id="workers"))
    drawn.add_arc(broker)
    if backend:
        drawn.add_arc(backend)
    for node, processes in sorted(threads.items(), key=itemgetter(0)):
        drawn.add_arc(node)
        for process in processes:
            label = f"{node} {process}"
            drawn.add_arc(label)
            drawn.add_edge(label, node)
        drawn.add_edge(node, broker)
        if backend:
            drawn.add_edge(node, backend)
    drawn.to_dot(sys.stdout)
