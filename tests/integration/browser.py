"""Chromium without a window, driven as a user drives it: by what is seen, and by keys."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.eventually import eventually

WAIT_SECONDS = 30.0
MOST_TABS = 60
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip

CLICK = """
const [target] = arguments;
target.scrollIntoView({ block: "center" });
const box = target.getBoundingClientRect();
if (!target.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2))) return false;
target.click();
return true;
"""


def missing() -> str | None:
    """Why no browser can be driven here; None when one can."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"no {' and no '.join(absent)} here: apt-get install chromium chromium-driver" if absent else None


class Browser:
    """A browser with an empty profile.

    Args:
        hosts: names that lead to this machine.
    """

    def __init__(self, *hosts: str) -> None:
        self._profile = tempfile.mkdtemp(prefix="svcjobs-chromium-")
        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for flag in FLAGS:
            options.add_argument(flag)
        options.add_argument(f"--user-data-dir={self._profile}")
        options.add_argument(f"--host-resolver-rules={','.join(f'MAP {host} 127.0.0.1' for host in hosts)}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"), env=dict(os.environ))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.resize(1100, 800)

    def close(self) -> None:
        """End the browser and forget its profile."""
        self.driver.quit()
        shutil.rmtree(self._profile, ignore_errors=True)

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """Show pages as on a screen of this size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self._do("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme: str) -> None:
        """Be a user who prefers the ``light`` or the ``dark`` colours."""
        self._do("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def picture(self, path: Path, height: int) -> None:
        """Save what is seen of the page down to ``height``."""
        self.resize(self.evaluate("innerWidth"), height)
        self.driver.save_screenshot(str(path))

    def evaluate(self, expression: str, *arguments: Any) -> Any:
        """The value of an expression of JavaScript; what is handed in is ``arguments``."""
        return self.driver.execute_script(f"return {expression}", *arguments)

    @property
    def text(self) -> str:
        """All text that is seen; empty while another page is loaded."""
        try:
            return self.driver.find_element(By.TAG_NAME, "body").text
        except WebDriverException:
            return ""

    def sees(self, *texts: str) -> None:
        """Wait until all these texts are seen."""

        def seen() -> bool:
            shown = self.text
            missing_texts = [text for text in texts if text not in shown]
            assert not missing_texts, f"no {missing_texts} in\n{shown}"
            return True

        eventually(seen, WAIT_SECONDS)

    def find(self, label: str) -> WebElement:
        """The link or button with this label."""
        path = f"//*[self::a or self::button][normalize-space()='{label}']"
        return eventually(lambda: self.driver.find_elements(By.XPATH, path), WAIT_SECONDS, f"{label!r} is there")[0]

    def click(self, label: str) -> None:
        """Click a link or button once, as it is after any live update, where nothing covers it."""

        def clicked() -> bool:
            try:
                return bool(self.driver.execute_script(CLICK, self.find(label)))
            except StaleElementReferenceException:  # it was replaced before the script began
                return False

        eventually(clicked, WAIT_SECONDS, f"{label!r} can be clicked")

    def keys(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def tab_to(self, label: str) -> None:
        """Press Tab until the link or button with this label has the focus, and can be seen to have it."""
        seen = []
        for _ in range(MOST_TABS):
            self.keys(Keys.TAB)
            seen.append(self.focused)
            if seen[-1] == label:
                assert self.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
                return
        raise AssertionError(f"no Tab leads to {label!r}, only to {seen}")

    @property
    def focused(self) -> str:
        """The label of what has the focus."""
        label: str = self.evaluate(
            "(document.activeElement.innerText || document.activeElement.getAttribute('aria-label') || '').trim()"
        )
        return label

    def complaints(self) -> list[str]:
        """What the browser has logged since the last look, such as what a policy forbade or wasn't found."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def _do(self, command: str, parameters: dict[str, Any]) -> None:
        self.driver.execute_cdp_cmd(command, parameters)
