"""The web application."""

from fastapi import FastAPI

from examples.fastapi_signups.tasks import app as celery_app
from examples.fastapi_signups.tasks import confirm, remind, welcome

web = FastAPI()


@web.post("/signups/{address}", status_code=202)
def sign_up(address: str) -> dict[str, str]:
    """Welcome the user now, and remind them later."""
    sent = welcome.apply_async((address,), link=confirm.s(address))
    reminder = remind.apply_async((address,), countdown=1)
    return {"welcome": sent.id, "reminder": reminder.id}


@web.delete("/reminders/{task_id}", status_code=204)
def unsubscribe(task_id: str) -> None:
    """Nobody is reminded any more."""
    celery_app.control.revoke(task_id)


@web.get("/signups/{task_id}")
def state(task_id: str) -> dict[str, object]:
    """How the welcome mail is."""
    result = celery_app.AsyncResult(task_id)
    return {"state": result.state, "retries": result.result if result.successful() else None}
