"""The project; its Celery app is loaded with Django, so that ``shared_task`` uses it."""

from examples.django_shop.shop.celery import app as celery_app

__all__ = ["celery_app"]
