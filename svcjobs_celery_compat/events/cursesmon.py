"""A monitor on the terminal: ``celery events``."""

from __future__ import annotations

import curses
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from textwrap import wrap
from typing import Any, ClassVar

import svcjobs_celery_compat
from svcjobs_celery_compat._state import app_or_default
from svcjobs_celery_compat.utils.text import abbr, abbrtask

__all__ = ("CursesMonitor", "evtop")

BORDER_SPACING = 4
LEFT_BORDER_OFFSET = 3
UUID_WIDTH = 36
STATE_WIDTH = 8
TIMESTAMP_WIDTH = 8
MIN_WORKER_WIDTH = 15
MIN_TASK_WIDTH = 16
RESERVED_LINES = 10
"""For the title and the lines below the tasks."""


class CursesMonitor:
    """Shows the latest tasks, and tells workers what the keys ask for.

    Args:
        state: what is known of the cluster.
        app: the app.
        keymap: further keys and what they call.
    """

    screen_delay = 10
    """Milliseconds to wait for a key."""
    help = "j:down k:up i:info t:traceback r:result c:revoke ^c: quit"
    colors: ClassVar[dict[str, int]] = {
        "SUCCESS": curses.COLOR_GREEN, "FAILURE": curses.COLOR_RED, "RETRY": curses.COLOR_MAGENTA,
        "REVOKED": curses.COLOR_MAGENTA, "STARTED": curses.COLOR_GREEN,
    }  # fmt: skip
    keyalias: ClassVar[dict[int, str]] = {curses.KEY_DOWN: "J", curses.KEY_UP: "K", curses.KEY_ENTER: "I"}

    def __init__(self, state: Any, app: Any, keymap: dict[str, Callable[[], object]] | None = None) -> None:
        self.app = app
        self.state = state
        self.win: Any = None
        self.selected_task: str | None = None
        self.selected_position = 0
        self.greet = f"celery events {svcjobs_celery_compat.VERSION_BANNER}"
        self.keymap: dict[str, Callable[[], object]] = {
            "J": self.move_selection_down,
            "K": self.move_selection_up,
            "C": self.revoke_selection,
            "T": self.selection_traceback,
            "R": self.selection_result,
            "I": self.selection_info,
            "L": self.selection_rate_limit,
            **(keymap or {}),
        }

    # the table

    def format_row(self, uuid: str, task: str, worker: str, timestamp: str, state: str) -> str:
        """A line as wide as the screen; a wide one has room for longer names."""
        width = self.display_width
        spare = width - UUID_WIDTH - MIN_WORKER_WIDTH - MIN_TASK_WIDTH - TIMESTAMP_WIDTH - STATE_WIDTH - BORDER_SPACING
        uuid_width = max(UUID_WIDTH + min(spare, 0), 0)
        worker_width = MIN_WORKER_WIDTH + max(spare, 0) // 2
        task_width = MIN_TASK_WIDTH + max(spare, 0) - max(spare, 0) // 2
        cells = (
            abbr(uuid, uuid_width).ljust(uuid_width),
            abbr(worker, worker_width).ljust(worker_width),
            abbrtask(task, task_width).ljust(task_width),
            abbr(timestamp, TIMESTAMP_WIDTH).ljust(TIMESTAMP_WIDTH),
            abbr(state, STATE_WIDTH).ljust(STATE_WIDTH),
        )
        return " ".join(cells)

    @property
    def screen_width(self) -> int:
        """Of the whole screen."""
        return self.win.getmaxyx()[1]  # type: ignore[no-any-return]

    @property
    def screen_height(self) -> int:
        """Of the whole screen."""
        return self.win.getmaxyx()[0]  # type: ignore[no-any-return]

    @property
    def display_width(self) -> int:
        """Within the border."""
        return self.screen_width - BORDER_SPACING

    @property
    def display_height(self) -> int:
        """Lines for tasks."""
        return self.screen_height - RESERVED_LINES

    @property
    def limit(self) -> int:
        """Most tasks that are shown."""
        return self.display_height

    @property
    def tasks(self) -> Iterator[tuple[str, Any]]:
        """The latest tasks."""
        return islice(self.state.tasks_by_time(), max(self.limit, 0))

    @property
    def workers(self) -> list[str]:
        """Names of the workers that live."""
        return [worker.hostname for worker in self.state.alive_workers()]

    def draw(self) -> None:
        """Draw everything anew."""
        self.handle_keypress()
        self.win.erase()
        self.win.border(*[curses.ACS_VLINE] * 2, *[curses.ACS_HLINE] * 2)
        bold = curses.A_BOLD | curses.A_STANDOUT
        self._write(1, LEFT_BORDER_OFFSET, self.greet)
        self._write(2, LEFT_BORDER_OFFSET, self.format_row("UUID", "TASK", "WORKER", "TIME", "STATE"), bold)
        for line, (uuid, task) in enumerate(list(self.tasks), start=3):
            if task.uuid and self.selected_task is None:
                self.selected_task = uuid
            self._draw_task(line, uuid, task)
        self._draw_footer()
        self.win.refresh()

    def _draw_task(self, line: int, uuid: str, task: Any) -> None:
        at = datetime.fromtimestamp(task.timestamp or time.time(), UTC).astimezone()
        worker = task.worker.hostname if task.worker else "UNKNOWN"
        row = self.format_row(task.uuid or "", task.name or "", worker, at.strftime("%H:%M:%S"), task.state)
        if uuid == self.selected_task:
            self._write(line, LEFT_BORDER_OFFSET, row, curses.A_STANDOUT)
        else:
            self._write(line, LEFT_BORDER_OFFSET, row, curses.color_pair(self.colors.get(task.state, 0)))

    def _draw_footer(self) -> None:
        bottom = self.screen_height - 6
        selected = self.state.tasks.get(self.selected_task)
        text = "No task selected"
        if selected is not None:
            text = " ".join(f"{name}={value}" for name, value in selected.info(extra=["name", "state"]).items())
        alive, known = len(self.workers), len(self.state.workers)
        lines = (
            f"Selected: {text}",
            f"Workers online: {', '.join(self.workers)}",
            f"Info: events: {self.state.event_count} tasks: {self.state.task_count} workers: {alive}/{known}",
            f"Keys: {self.help}",
        )
        for offset, line in enumerate(lines):
            self._write(bottom + offset, LEFT_BORDER_OFFSET, abbr(line, self.display_width))

    def _write(self, line: int, column: int, text: str, *style: int) -> None:
        if 0 < line < self.screen_height - 1:
            self.win.addnstr(line, column, text, max(self.screen_width - column - 1, 0), *style)

    # keys

    def handle_keypress(self) -> None:
        """Do what a pressed key asks for."""
        try:
            key = self.win.getkey().upper()
        except curses.error:
            return  # none was
        if len(key) == 1:
            key = self.keyalias.get(ord(key), key)
        handler = self.keymap.get({"KEY_DOWN": "J", "KEY_UP": "K", "\n": "I"}.get(key, key))
        if handler is not None:
            handler()

    def move_selection_down(self) -> None:
        """Select the next task."""
        self.move_selection(1)

    def move_selection_up(self) -> None:
        """Select the one before."""
        self.move_selection(-1)

    def move_selection(self, direction: int = 1) -> None:
        """Select another task."""
        ids = [uuid for uuid, _ in self.tasks]
        if not ids:
            return
        at = ids.index(self.selected_task) + direction if self.selected_task in ids else 0
        self.selected_position = min(max(at, 0), len(ids) - 1)
        self.selected_task = ids[self.selected_position]

    def revoke_selection(self) -> None:
        """Revoke the selected task."""
        if self.selected_task:
            reply = self.app.control.revoke(self.selected_task, reply=True)
            self._alert("Remote Control Command Replies", [str(answer) for answer in reply or ["No replies"]])

    def selection_rate_limit(self) -> None:
        """Ask for a rate limit of the selected task's name, and set it."""
        task = self.state.tasks.get(self.selected_task)
        if task is None or not task.name:
            return
        limit = self._ask(f"New rate limit for {task.name}: ")
        if limit:
            reply = self.app.control.rate_limit(task.name, limit, reply=True)
            self._alert("Remote Control Command Replies", [str(answer) for answer in reply or ["No replies"]])

    def selection_info(self) -> None:
        """Show what is known of the selected task."""
        task = self.state.tasks.get(self.selected_task)
        if task is not None:
            known = task.info(["args", "kwargs", "worker", "root_id", "parent_id", "retries", "eta"])
            self._alert(f"Task details for {task.uuid}", [f"{name}: {value}" for name, value in known.items()])

    def selection_traceback(self) -> None:
        """Show the selected task's traceback."""
        task = self.state.tasks.get(self.selected_task)
        if task is not None:
            self._alert(f"Task Exception Traceback for {task.uuid}", str(task.traceback).split("\n"))

    def selection_result(self) -> None:
        """Show the selected task's result."""
        task = self.state.tasks.get(self.selected_task)
        if task is not None:
            self._alert(f"Task Result for {task.uuid}", str(task.result or task.exception).split("\n"))

    def _alert(self, title: str, lines: list[str]) -> None:
        self.win.erase()
        self._write(1, LEFT_BORDER_OFFSET, title, curses.A_BOLD | curses.A_UNDERLINE)
        wrapped = [part for line in lines for part in wrap(line, max(self.display_width, 1)) or [""]]
        for at, line in enumerate(wrapped, start=3):
            self._write(at, LEFT_BORDER_OFFSET, line)
        self._write(self.screen_height - 3, LEFT_BORDER_OFFSET, "Press any key to continue...", curses.A_BOLD)
        self.win.refresh()
        self._wait_for_key()

    def _ask(self, question: str) -> str:
        self._write(self.screen_height - 3, LEFT_BORDER_OFFSET, question, curses.A_BOLD | curses.A_UNDERLINE)
        self.win.refresh()
        answer = ""
        while (key := self._wait_for_key()) not in ("\n", "\r"):
            if key == "\x1b":
                return ""
            answer = answer[:-1] if key in ("KEY_BACKSPACE", "\x7f") else answer + key
        return answer

    def _wait_for_key(self) -> str:
        self.win.timeout(-1)
        try:
            return self.win.getkey()  # type: ignore[no-any-return]
        finally:
            self.win.timeout(self.screen_delay)

    # the screen

    def init_screen(self) -> None:
        """Take the terminal over."""
        self.win = curses.initscr()
        self.win.timeout(self.screen_delay)
        self.win.keypad(True)
        curses.start_color()
        curses.noecho()
        curses.cbreak()
        for color in set(self.colors.values()):
            curses.init_pair(color, color, curses.COLOR_BLACK)

    def resetscreen(self) -> None:
        """Give the terminal back."""
        curses.nocbreak()
        self.win.keypad(False)
        curses.echo()
        curses.endwin()

    def nap(self) -> None:
        """Wait a little between two pictures."""
        curses.napms(self.screen_delay)


class DisplayThread(threading.Thread):
    """Draws, while events come in elsewhere."""

    def __init__(self, display: CursesMonitor) -> None:
        super().__init__(name="cursesmon", daemon=True)
        self.display = display
        self.shutdown = threading.Event()

    def run(self) -> None:
        while not self.shutdown.is_set():
            self.display.draw()
            self.display.nap()


def evtop(app: Any = None) -> None:
    """Show a cluster on the terminal until interrupted."""
    app = app_or_default(app)
    state = app.events.State()
    display = CursesMonitor(state, app)
    display.init_screen()
    drawing = DisplayThread(display)
    drawing.start()
    try:
        _capture(app, state)
    except (KeyboardInterrupt, SystemExit):
        pass
    finally:
        drawing.shutdown.set()
        drawing.join()
        display.resetscreen()


def _capture(app: Any, state: Any) -> None:
    while True:
        with app.connection_for_read() as conn:
            try:
                conn.ensure_connection(max_retries=app.conf.broker_connection_max_retries)
                app.events.Receiver(conn, handlers={"*": state.event}).capture()
            except conn.connection_errors + conn.channel_errors:
                continue  # lost: connect anew
