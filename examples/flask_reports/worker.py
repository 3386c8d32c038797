"""What ``celery -A examples.flask_reports.worker worker`` loads."""

import examples.flask_reports.tasks  # noqa: F401 - registers the tasks
from examples.flask_reports.app import create_app

app = create_app().extensions["celery"]
