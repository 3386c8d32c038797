"""``celery upgrade settings``: upper-case names of settings become the lower-case ones."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import click

from svcjobs_celery_compat.app import defaults
from svcjobs_celery_compat.bin.base import CeleryCommand, CeleryOption, handle_preload_options

UPGRADING = "Upgrading Options"


@click.group()
@click.pass_context
@handle_preload_options
def upgrade(ctx: click.Context, /, **kwargs: Any) -> None:
    """Perform upgrade between versions."""


@upgrade.command(cls=CeleryCommand)
@click.argument("filename")
@click.option("--django", cls=CeleryOption, is_flag=True, help_group=UPGRADING, help="Upgrade Django project.")
@click.option("--compat", cls=CeleryOption, is_flag=True, help_group=UPGRADING,
              help="Maintain backwards compatibility.")  # fmt: skip
@click.option("--no-backup", cls=CeleryOption, is_flag=True, help_group=UPGRADING,
              help="Don't backup original files.")  # fmt: skip
@click.pass_context
def settings(ctx: click.Context, /, filename: str, django: bool, compat: bool, no_backup: bool) -> None:
    """Migrate settings from Celery 3.x to Celery 4.x."""
    path = Path(filename)
    with path.open(encoding="utf-8", newline="") as file:  # line ends stay as they are
        lines = file.readlines()
    keep_prefix = "CELERY_" if django or compat else ""
    changed = [_renamed(line, keep_prefix) for line in lines]
    if changed == lines:
        ctx.obj.echo("Does not seem to require any changes :-)")
        return
    if not no_backup:
        backup = f"{filename}.orig"
        ctx.obj.echo(f"Backing up original file to {backup}...")
        shutil.copy(filename, backup)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(changed)
    ctx.obj.echo("Changes to your setting have been made!")


def _renamed(line: str, prefix: str) -> str:
    found = re.match(r"\s*([A-Z][A-Z0-9_]+)\s*=", line)
    new = defaults._TO_NEW_KEY.get(found[1]) if found else None
    if not found or new is None:
        return line
    return line.replace(found[1], f"{prefix}{new.upper()}" if prefix else new, 1)
