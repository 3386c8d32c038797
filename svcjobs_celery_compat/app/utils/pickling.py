"""An app in a pickle: its settings, and the names of its parts."""

from __future__ import annotations

from typing import Any

__all__ = ("AppPickler",)


class AppPickler:
    """Makes an app of what :meth:`Celery.__reduce_args__` gave; apps may have another one in ``Pickler``."""

    def __call__(self, cls: type, *args: Any) -> Any:
        kwargs = self.build_kwargs(*args)
        app = self.construct(cls, **kwargs)
        self.prepare(app, **kwargs)
        return app

    def prepare(self, app: Any, **kwargs: Any) -> None:
        """Configure the app."""
        app.conf.update(kwargs["changes"])

    def build_kwargs(self, *args: Any) -> dict[str, Any]:
        """Name the arguments."""
        return self.build_standard_kwargs(*args)

    def build_standard_kwargs(
        self,
        main: Any,
        changes: Any,
        loader: Any,
        backend: Any,
        amqp: Any,
        events: Any,
        log: Any,
        control: Any,
        accept_magic_kwargs: Any,
        config_source: Any = None,
        config_source_silent: bool = False,
    ) -> dict[str, Any]:
        """Return the arguments by name. The app isn't made the current one."""
        return {
            "main": main,
            "loader": loader,
            "backend": backend,
            "amqp": amqp,
            "changes": changes,
            "events": events,
            "log": log,
            "control": control,
            "set_as_current": False,
            "config_source": config_source,
            "config_source_silent": config_source_silent,
        }

    def construct(self, cls: Any, **kwargs: Any) -> Any:
        """Make the app."""
        silent = kwargs.pop("config_source_silent", False)
        app = cls(**kwargs)
        app._config_source_silent = silent
        return app


def _unpickle_app(cls: type, pickler: type[AppPickler], *args: Any) -> Any:
    return pickler()(cls, *args)


def _unpickle_app_v2(cls: Any, kwargs: dict[str, Any]) -> Any:
    kwargs["set_as_current"] = False
    return cls(**kwargs)
