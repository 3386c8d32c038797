"""Where an app's settings come from."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

from kombu.utils.objects import cached_property

from svcjobs_celery_compat.app.utils import detect_settings
from svcjobs_celery_compat.exceptions import ImproperlyConfigured
from svcjobs_celery_compat.local import maybe_evaluate
from svcjobs_celery_compat.utils.dispatch import Signal
from svcjobs_celery_compat.utils.time import timezone

ERR_ENVVAR_NOT_SET = """
The environment variable {0!r} is not set,
and as such the configuration could not be loaded.

Please set this variable and make sure it points to
a valid configuration module.

Example:
    {0}="proj.celeryconfig"
"""


class Configuring:
    """The part of :class:`~svcjobs_celery_compat.Celery` that reads settings."""

    _conf: Any = None
    _config_source: Any
    _config_source_silent: bool
    _preconf: dict[str, Any]
    _preconf_set_by_auto: set[str]
    _pending_defaults: deque[Any]
    _pending_periodic_tasks: deque[Any]
    configured: bool
    namespace: str | None
    on_configure: Any
    on_after_configure: Any

    if TYPE_CHECKING:
        loader: Any
        _add_periodic_task: Callable[..., None]

    @property
    def conf(self) -> Any:
        """The settings. They are loaded when one is first read."""
        if self._conf is None:
            self._conf = self._load_config()
        return self._conf

    @conf.setter
    def conf(self, settings: Any) -> None:
        self._conf = settings

    def config_from_object(
        self, obj: Any, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> Any:
        """Take the settings from an object with attributes, a mapping, or the name of one, such as a module's.

        Parameters:
            silent: go on with the defaults if it can't be imported.
            force: read it now, and return the settings; else it is read when a setting is first asked for.
            namespace: what the names of settings begin with there: ``CELERY`` for ``CELERY_BROKER_URL``.
        """
        self._config_source = obj
        self._config_source_silent = silent
        self.namespace = namespace or self.namespace
        if force or self.configured:
            self._conf = None
            if self.loader.config_from_object(obj, silent=silent):
                return self.conf
        return None

    def config_from_envvar(self, variable_name: str, silent: bool = False, force: bool = False) -> Any:
        """Take the settings from the module that an environment variable names.

        Parameters:
            silent: go on with the defaults if it isn't set, or can't be imported; returns False.
            force: read it now.

        Raises:
            ImproperlyConfigured: it isn't set.
        """
        module_name = os.environ.get(variable_name)
        if not module_name:
            if silent:
                return False
            raise ImproperlyConfigured(ERR_ENVVAR_NOT_SET.strip().format(variable_name))
        return self.config_from_object(module_name, silent=silent, force=force)

    def config_from_cmdline(self, argv: list[str], namespace: str = "celery") -> None:
        """Take settings of the form ``name=value`` from a command line; ``.name`` is short for one of ``namespace``."""
        self._conf.update(self.loader.cmdline_config_parser(argv, namespace))

    def add_defaults(self, fun: Any) -> None:
        """Add settings below all others: a mapping, or a function that returns one when they are first needed."""
        if not callable(fun):
            mapping = fun

            def fun() -> Any:
                return mapping

        if self.configured:
            self.conf.add_defaults(fun())
        else:
            self._pending_defaults.append(fun)

    def prepare_config(self, c: Any) -> Any:
        """Return the configuration that was loaded, checked or changed. Override it."""
        return c

    def either(self, default_key: str, *defaults: Any) -> Any:
        """Return the first of ``defaults`` that isn't None, or else the setting."""
        given = [value for value in defaults if value is not None]
        return given[0] if given else self.conf.get(default_key)

    def _finalize_pending_conf(self) -> Any:
        try:
            conf = self._conf = self._load_config()
        except AttributeError as error:
            # in a property it would look as if the property were missing
            raise ImproperlyConfigured(f"the configuration couldn't be loaded: {error}") from error
        return conf

    def _load_config(self) -> Any:
        if isinstance(self.on_configure, Signal):
            self.on_configure.send(sender=self)
        else:
            self.on_configure()  # overridden by a method in a subclass, as it once was documented
        if self._config_source is not None:
            self.loader.config_from_object(self._config_source, silent=self._config_source_silent)
        self.configured = True
        settings = detect_settings(
            self.prepare_config(self.loader.conf),
            self._preconf,
            ignore_keys=self._preconf_set_by_auto,
            prefix=self.namespace,
        )
        if self._conf is None:
            self._conf = settings
        else:
            # others may hold on to the object: it gets the new settings
            self._conf.swap_with(settings)
        while self._pending_defaults:
            self._conf.add_defaults(maybe_evaluate(self._pending_defaults.popleft()()))
        while self._pending_periodic_tasks:
            self._add_periodic_task(*self._pending_periodic_tasks.popleft())
        self.on_after_configure.send(sender=self, source=self._conf)
        return self._conf

    def now(self) -> datetime:
        """Return the current time in the app's time zone."""
        return datetime.now(self.timezone)

    @cached_property  # type: ignore[untyped-decorator]  # kombu's can be deleted before it was read
    def timezone(self) -> tzinfo:
        """The setting ``timezone``, or UTC, or with ``enable_utc`` off the local time zone."""
        conf = self.conf
        if not conf.timezone:
            chosen: tzinfo = timezone.utc if conf.enable_utc else timezone.local
            return chosen
        found: tzinfo = timezone.get_timezone(conf.timezone)
        return found

    def uses_utc_timezone(self) -> bool:
        """Return whether the app's time zone is UTC."""
        return bool(self.timezone == timezone.utc)

    def setup_security(
        self,
        allowed_serializers: Any = None,
        key: str | None = None,
        key_password: bytes | None = None,
        cert: str | None = None,
        store: str | None = None,
        digest: str = "sha256",
        serializer: str = "json",
    ) -> Any:
        """Let messages be signed, and refuse those that aren't: see the security guide.

        Parameters:
            allowed_serializers: others are switched off in this process.
            key, key_password, cert, store: paths of the private key, its password, the certificate, and a pattern
                for the certificates to trust.
            digest: of the signatures.
            serializer: of what is signed.
        """
        from svcjobs_celery_compat import security  # needs cryptography

        return security.setup_security(
            allowed_serializers, key, key_password, cert, store, digest, serializer, app=self
        )
