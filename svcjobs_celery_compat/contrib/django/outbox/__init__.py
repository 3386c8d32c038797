"""The outbox as an app of a Django project: put this package into ``INSTALLED_APPS``, and run ``migrate``."""
