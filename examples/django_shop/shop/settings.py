"""Django's settings; the database is a file."""

import os

SECRET_KEY = "only for this example"
INSTALLED_APPS = ["examples.django_shop.orders"]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SHOP_DATABASE"], "OPTIONS": {"timeout": 20}}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
ROOT_URLCONF = "examples.django_shop.orders.urls"
ALLOWED_HOSTS = ["*"]

CELERY_BROKER_URL = os.environ["BROKER_URL"]
CELERY_RESULT_BACKEND = os.environ["RESULT_BACKEND"]
CELERY_TASK_ACKS_LATE = True
CELERY_BEAT_SCHEDULE = {"close the day": {"task": "orders.close_day", "schedule": 1.0}}
