"""The Flask application and its Celery app, tied together as Flask's documentation shows."""

import os

from celery import Celery, Task
from celery.result import AsyncResult
from flask import Flask, jsonify, request


def celery_of(flask_app: Flask) -> Celery:
    """A Celery app whose tasks run inside the application context of ``flask_app``."""

    class FlaskTask(Task):
        def __call__(self, *args, **kwargs):
            with flask_app.app_context():
                return self.run(*args, **kwargs)

    celery_app = Celery(flask_app.name, task_cls=FlaskTask)
    celery_app.config_from_object(flask_app.config["CELERY"])
    celery_app.set_default()
    flask_app.extensions["celery"] = celery_app
    return celery_app


def create_app() -> Flask:
    """The web application: ``POST /reports`` starts one, ``GET /reports/<id>`` shows how it is."""
    flask_app = Flask("flask_reports")
    flask_app.config["CURRENCY"] = "EUR"
    flask_app.config["CELERY"] = {
        "broker_url": os.environ["BROKER_URL"],
        "result_backend": os.environ["RESULT_BACKEND"],
        "task_track_started": True,
    }
    celery_of(flask_app)

    @flask_app.post("/reports")
    def start():
        from examples.flask_reports.tasks import report

        return jsonify(id=report(request.get_json()["regions"]).id), 202

    @flask_app.get("/reports/<report_id>")
    def show(report_id: str):
        result = AsyncResult(report_id)
        return jsonify(state=result.state, report=result.result if result.successful() else str(result.result or ""))

    return flask_app
