"""Headless Chromium in a system of its own, driven by WebDriver."""

import re
import subprocess
import time

from selenium import webdriver

PATIENCE = 20


class Failed(Exception):
    """Something does not hold."""


def expect(holds, what):
    if not holds:
        raise Failed(what)


def wait(holds, what, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not holds():
        expect(time.monotonic() < end, f"not within {seconds} s: {what}")
        time.sleep(0.05)


class Chromium:
    """The browser; it and its driver see the system at `root`, this machine's network, and nothing else of this machine."""

    # Its mounts go with the namespace, and its processes with their first one, which stays root: who becomes another user does not
    # die with its parent any more. Nothing is written to the system itself.
    ENTER = """
        mount -t proc proc "$0/proc" && mount -t tmpfs tmpfs "$0/tmp" && mount -t tmpfs tmpfs "$0/dev" && mkdir -m 1777 "$0/dev/shm" &&
        for node in null zero random urandom full tty; do touch "$0/dev/$node" && mount --bind "/dev/$node" "$0/dev/$node" || exit; done && ln -s /proc/self/fd "$0/dev/fd" &&
        { chroot --userspec=65534:65534 "$0" env -i HOME=/tmp PATH=/usr/bin chromedriver --port=0 & wait; }
    """

    def __init__(self, root):
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", self.ENTER, root]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        port, said = None, []
        for line in self.process.stdout:
            said.append(line)
            if found := re.search(r"started successfully on port (\d+)", line):
                port = found[1]
                break
        expect(port, "chromedriver does not start: " + "".join(said))
        options = webdriver.ChromeOptions()
        # It has no privileges to give up in there.
        for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Remote(f"http://127.0.0.1:{port}", options=options)
        self.driver.set_script_timeout(PATIENCE)
        self.driver.set_page_load_timeout(PATIENCE)

    def complaints(self):
        """What the browser has written to its console as an error: scripts that fail, and what the policy has kept away."""
        log = self.driver.execute("getLog", {"type": "browser"})["value"]
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def cdp(self, command, **parameters):
        return self.driver.execute("executeCdpCommand", {"cmd": command, "params": parameters})["value"]

    def size(self, width, height):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)

    def theme(self, theme):
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    def scripts(self, run):
        self.cdp("Emulation.setScriptExecutionDisabled", value=not run)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.driver.quit()
        finally:
            # Its first process takes everything along.
            self.process.kill()
            self.process.wait(10)
