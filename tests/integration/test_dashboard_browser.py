"""The dashboard in a browser, as the people who look after queues use it."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.eventually import eventually
from tests.integration.browser import WAIT_SECONDS, Browser, missing
from tests.integration.dashboard_scene import Scene
from tests.servers import RedisServer

SCRIPT = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
PHONE = (390, 844)
# the ratio of WCAG 2, of each text to what lies behind it
CONTRASTS = """(() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((one) => one / 255)
      .map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("body *")]
    .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
    .filter((one) => one.checkVisibility() && !one.matches(".skip"))
    .map((one) => {
      const pair = [light(getComputedStyle(one).color), light(behind(one))].sort((a, b) => b - a);
      return [one.textContent.trim().slice(0, 40), (pair[0] + 0.05) / (pair[1] + 0.05)];
    });
})()"""


@pytest.fixture(scope="module")
def open_browser() -> Iterator[Browser]:
    if reason := missing():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    browser = Browser("jobs.example")
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def scene(
    open_browser: Browser, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    scene = Scene(tmp_path_factory.mktemp("shop"), redis_server.url, f"t{uuid.uuid4().hex[:12]}")
    try:
        scene.work()
        yield scene
    finally:
        scene.close()


@pytest.fixture(scope="module")
def address(open_browser: Browser, scene: Scene) -> str:
    return scene.serve()[0]


@pytest.fixture
def browser(open_browser: Browser, scene: Scene) -> Iterator[Browser]:
    scene.mend(works=False)
    scene.queue.purge_dead()
    open_browser.resize(1100, 800)
    open_browser.prefer("light")
    yield open_browser
    complaints = [text for text in open_browser.complaints() if "404" not in text]  # a job that is done isn't found
    assert not complaints


def test_a_user_finds_a_dead_job_reads_why_requeues_it_and_sees_it_succeed(
    browser: Browser, scene: Scene, address: str
) -> None:
    job_id = scene.dead_job(payload={"order": 17, "card_number": "4111 1111"})
    browser.driver.get(address)
    browser.sees("Dead")
    browser.click("1")
    browser.sees("exhausted", "the bank doesn't answer")
    browser.click(job_id)
    browser.sees("charge", "dead", "ConnectionError: the bank doesn't answer", '"order": 17', "Traceback", "1 of 1")
    assert "4111" not in browser.driver.page_source
    scene.mend()
    browser.click("Requeue")
    browser.sees("Requeued.")
    browser.sees(f"Job {job_id} done", "You requeued it, and it has left its queue since")  # live, without a reload
    browser.click(scene.queue.name)
    browser.sees("No job is dead.")


def test_a_script_in_a_job_stays_text(browser: Browser, scene: Scene, address: str) -> None:
    scene.queue.enqueue(SCRIPT, {SCRIPT: SCRIPT}, job_id=SCRIPT, delay_seconds=3600)
    scene.queue.cancel(SCRIPT)
    where = f"queue={quote(scene.queue.name)}"
    for page in (f"queue?{where}&place=dead", f"job?{where}&id={quote(SCRIPT)}", f"search?q={quote(SCRIPT)}"):
        browser.driver.get(address + page)
        browser.sees(SCRIPT)
        assert browser.driver.title != "owned"
        assert not browser.driver.find_elements(By.CSS_SELECTOR, "main script, main img")


def test_the_keyboard_is_enough(browser: Browser, scene: Scene, address: str) -> None:
    job_id = scene.dead_job()
    browser.driver.get(address)
    browser.tab_to("To the content")
    browser.tab_to("1")
    browser.keys(Keys.ENTER)
    browser.sees("exhausted")
    browser.keys("/", job_id, Keys.ENTER)
    browser.sees(f"Search: {job_id}")
    browser.tab_to(job_id)
    browser.keys(Keys.ENTER)
    browser.sees("the bank doesn't answer")
    browser.tab_to("Discard")
    browser.keys(Keys.ENTER)
    eventually(lambda: browser.driver.switch_to.alert, WAIT_SECONDS, "it asks first").dismiss()
    assert scene.queue.place(job_id) == "dead"
    browser.driver.get(browser.driver.current_url)
    browser.tab_to("Requeue")
    browser.keys(Keys.SPACE)
    browser.sees("Requeued.")


def test_a_live_update_leaves_the_focus_where_it_is(browser: Browser, scene: Scene, address: str) -> None:
    first = scene.dead_job()
    browser.driver.get(f"{address}queue?queue={quote(scene.queue.name)}&place=dead")
    browser.tab_to(first)
    second = scene.dead_job()
    browser.sees("Dead 2", second)
    assert browser.focused == first


def test_a_queue_is_paused_and_resumed(browser: Browser, scene: Scene, address: str) -> None:
    browser.driver.get(f"{address}queue?queue={quote(scene.queue.name)}")
    browser.click("Pause")
    browser.sees("Paused.", "Resume")
    assert scene.queue.stats().paused
    browser.click("Resume")
    browser.sees("Resumed.")
    assert not scene.queue.stats().paused


def test_workers_and_plots_are_seen(browser: Browser, scene: Scene, address: str) -> None:
    browser.driver.get(f"{address}workers")
    browser.sees("till@shop", "idle")
    browser.driver.get(f"{address}queue?queue={quote(scene.queue.name)}")
    browser.sees("Throughput", "Latency: waiting", "last")  # two samples
    # each line begins with its own second sample
    drawn = "[...document.querySelectorAll('figure svg polyline')].map(line => line.getBoundingClientRect().width)"
    eventually(lambda: len(browser.evaluate(drawn)) >= 3, 30)
    assert all(width > 0 for width in browser.evaluate(drawn))


def test_pages_fit_a_phone_and_fingers(browser: Browser, scene: Scene, address: str) -> None:
    job_id = scene.dead_job("charge", {"text": "x" * 500, "order": 17})
    queue = quote(scene.queue.name)
    browser.resize(*PHONE, phone=True)
    pages = ("", "workers", "schedules", "search?q=charge", f"queue?queue={queue}", f"job?queue={queue}&id={job_id}")
    for page in pages:
        browser.driver.get(address + page)
        browser.sees("svcjobs")
        assert browser.evaluate("document.documentElement.scrollWidth") <= PHONE[0], page
    button = browser.find("Requeue")
    assert button.size["height"] >= 44
    scene.mend()
    button.click()
    browser.sees("Requeued.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_in_both_schemes(browser: Browser, scene: Scene, address: str, scheme: str) -> None:
    job_id = scene.dead_job()
    queue = quote(scene.queue.name)
    browser.prefer(scheme)
    dark = []
    for page in ("", "workers", f"queue?queue={queue}&place=dead", f"job?queue={queue}&id={job_id}"):
        browser.driver.get(address + page)
        browser.sees("svcjobs")
        contrasts = browser.evaluate(CONTRASTS)
        assert len(contrasts) > 5
        assert not [(text, ratio) for text, ratio in contrasts if ratio < 4.5], page
        dark.append(browser.evaluate("matchMedia('(prefers-color-scheme: dark)').matches"))
        colour = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(colour.strip("rgba()").split(",")[0]) < 128) is (scheme == "dark")
    assert set(dark) == {scheme == "dark"}


def test_a_form_of_another_site_is_refused(browser: Browser, scene: Scene, address: str) -> None:
    job_id = scene.dead_job()
    target = f"{address}requeue?queue={quote(scene.queue.name)}&id={job_id}"
    browser.driver.get(f"data:text/html,<form method=post action='{target}'><button>Win</button></form>")
    browser.click("Win")
    browser.sees("This request comes from another site.")
    assert scene.queue.place(job_id) == "dead"
    browser.complaints()  # the refusal is one, and is forgotten here


def test_a_password_by_another_name_and_a_dashboard_that_goes_and_comes(browser: Browser, scene: Scene) -> None:
    job_id = scene.dead_job()
    address, process = scene.serve(JOBS_DASHBOARD_PASSWORD="s3same")
    port = int(address.rstrip("/").rpartition(":")[2])
    browser.driver.get(f"http://jobs.example:{port}/")
    assert "Dead" not in browser.text
    browser.driver.get(f"http://ops:s3same@jobs.example:{port}/queue?queue={quote(scene.queue.name)}")
    browser.sees(job_id)
    second = scene.dead_job()
    browser.sees(second)  # live, with the password
    browser.click(job_id)
    scene.mend()
    browser.click("Requeue")  # without https no Sec-Fetch-Site is sent
    browser.sees("Requeued.")
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_SECONDS) == 0
    browser.sees("Not up to date")
    scene.serve(port=port, JOBS_DASHBOARD_PASSWORD="s3same")
    eventually(lambda: "Not up to date" not in browser.text, WAIT_SECONDS, "it is live again")
    browser.complaints()  # refused without a password, and while it was away
