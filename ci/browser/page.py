"""The fleet's page as somebody sees it who has a browser: what must hold, and the pictures for the documentation."""

import argparse
import base64
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile

import axe_playwright_python
from chromium import Chromium, Failed, expect, wait
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

WIDE, PHONE = (1180, 1000), (360, 740)
PICTURES = pathlib.Path(__file__).parents[2] / "agent/hub/pictures"
PAGES = ("", "add", "sign-in")
# What must not be there: serious or not, by all rules that say what WCAG 2.2 AA asks for, and by best practice.
AXE = next(pathlib.Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text()


class Page:
    def __init__(self, chromium, hub, login):
        self.chromium, self.driver, self.hub, self.login = chromium, chromium.driver, hub, login

    def open(self, path=""):
        self.driver.get(self.hub + path)

    def text(self, where="main"):
        """In one step, since what is live may be another element in the next."""
        return self.driver.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", where)

    def shows(self, word):
        return word in self.text("body")

    def sign_in(self):
        """By the link that `e3 login` prints, as somebody who clicks on it."""
        link = self.login()["link"]
        self.driver.get(link)
        wait(lambda: self.shows("Signed in as"), "the link of `e3 login` signs in")
        expect("#" not in self.driver.current_url, f"the code does not stay in the address: {self.driver.current_url}")
        self.driver.get(link)
        wait(lambda: "not good" in self.text(), "a link works once")
        self.open()


def axe(page, what):
    """Everything that axe-core finds."""
    page.driver.execute_script(AXE)
    found = page.driver.execute_async_script(
        "const done = arguments[arguments.length - 1]; axe.run(document).then(done, e => done({violations: [String(e)]}));")
    faults = [f"{v['id']}: {v['help']}: {[n['html'] for n in v['nodes']][:3]}" for v in found["violations"]]
    expect(not faults, f"axe-core finds faults in {what}: " + "\n".join(faults))
    expect(len(found["passes"]) > 15, f"axe-core has looked at {what}")


def accessible(page, who):
    for theme in ("light", "dark"):
        page.chromium.theme(theme)
        for size in (WIDE, PHONE):
            page.chromium.size(*size)
            for path in PAGES:
                page.open(path)
                axe(page, f"/{path}, {who}, {theme}, {size[0]} pixels wide")


def narrow(page, who):
    """Nobody has to scroll sideways, down to 320 pixels (WCAG 1.4.10)."""
    for width in (PHONE[0], 320):
        page.chromium.size(width, PHONE[1])
        for path in PAGES:
            page.open(path)
            wide = page.driver.execute_script("return document.documentElement.scrollWidth")
            expect(wide <= width, f"/{path} fits on a phone of {width} pixels, {who}: it is {wide} wide")
    page.chromium.size(*WIDE)


def coloured(page):
    """Light and dark are the browser's choice, and differ."""
    grounds = {}
    for theme in ("light", "dark"):
        page.chromium.theme(theme)
        page.open()
        grounds[theme] = page.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    expect(grounds["light"] != grounds["dark"], f"dark is not light: {grounds}")
    page.chromium.theme("light")


def keyboard(page):
    """Everything that can be used is reached by Tab, in the order of the page, and can be seen when it is."""
    page.open()
    want = page.driver.execute_script("""
        return [...document.querySelectorAll('a[href], button, input:not([type=hidden]), summary, [tabindex="0"]')]
            .filter(e => e.checkVisibility()).map((e, i) => { e.dataset.place = i; return e.outerHTML.slice(0, 80); });""")
    got = []
    for _ in want:
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        place, seen = page.driver.execute_script("""
            const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
            return [e.dataset.place, style.outlineStyle !== 'none' && box.width > 0 && box.right > 0];""")
        expect(place is not None, f"Tab goes from {got[-1:]} to something of the page")
        expect(seen, f"whoever uses the keyboard sees where he is: {want[int(place)]}")
        got.append(int(place))
    expect(got == list(range(len(want))), f"Tab goes through the page in its order: {got}")
    expect("Skip to the content" in want[0], f"the first step leads to the content: {want[0]}")
    page.open()
    ActionChains(page.driver).send_keys(Keys.TAB, Keys.ENTER).perform()
    at = page.driver.execute_script("return document.activeElement.id")
    expect(at == "main", f"the first step leads to the content, not to {at!r}")


def scriptless(page):
    """Everything but live updates, without JavaScript: reading, searching, signing in with a pasted code, signing out."""
    page.chromium.scripts(False)
    try:
        page.open()
        text = page.text()
        expect("Without JavaScript this page stands still" in text, "the page says what is missing")
        for word in ("Parties", "alice", "salary #2", "verified", "Round trips", "takes nothing new"):
            expect(word in text, f"{word!r} is there without JavaScript")
        page.open("?state=degraded")
        expect("dave" in page.text() and "bob\n" not in page.text().split("Sessions")[0], "states can be chosen")
        page.open("sign-in")
        page.driver.find_element(By.ID, "code").send_keys(page.login()["link"].partition("#")[2])
        page.driver.find_element(By.CSS_SELECTOR, "main form button").click()
        wait(lambda: page.shows("Signed in as"), "a pasted code signs in")
        expect("At the door" in page.text() and "e3 fleet accept erin" in page.text(), "an owner sees who is at the door")
        page.driver.find_element(By.CSS_SELECTOR, ".who button").click()
        wait(lambda: not page.shows("Signed in as"), "signing out ends it")
    finally:
        page.chromium.scripts(True)


def live(page, happen):
    """What happens is seen without loading the page again; who reads or is somewhere with the keyboard stays there."""
    page.open()
    page.driver.execute_script("window.mark = 'the same page'")
    row = "#sessions article:first-of-type"
    before = page.text(row)
    expect("auction" in before and "running" in before and "done" not in before, f"the auction runs: {before}")
    page.driver.execute_script("document.querySelector('#sessions details summary').click()")
    page.driver.execute_script("document.querySelector('.chips a').focus()")
    happen("finish")
    wait(lambda: page.text(row).count("done") == 3, "the page goes on by itself")
    mark, opened, focus, said = page.driver.execute_script("""
        return [window.mark, document.querySelector('#sessions details').open, document.activeElement.closest('.chips') !== null,
                document.getElementById('live').textContent];""")
    expect(mark == "the same page", "it was not loaded again")
    expect(opened, "what was opened stays open")
    expect(focus, "who is somewhere with the keyboard stays there")
    expect(said == "Live", f"the page says that it is live, not {said!r}")


def pictures(page, where):
    where.mkdir(exist_ok=True)
    total = 0
    for name, theme, size, part in (
        ("page-light", "light", WIDE, ""), ("page-dark", "dark", WIDE, "#sessions"), ("page-phone", "light", PHONE, "#parties")
    ):
        page.chromium.theme(theme)
        page.chromium.size(*size)
        page.open(part)
        page.driver.refresh()
        wait(lambda: page.text("#live") == "Live", "the page is live")
        shot = page.chromium.cdp("Page.captureScreenshot", format="webp", quality=70)
        data = base64.b64decode(shot["data"])
        (where / f"{name}.webp").write_bytes(data)
        total += len(data)
    expect(total < 200_000, f"the pictures are small: {total} bytes")


@contextlib.contextmanager
def fleet(program, folder):
    """A hub with a small fleet, and what makes things happen there."""
    with subprocess.Popen([program, "serve", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as hub:
        try:
            told = hub.stdout.readline()
            expect(told, "the hub starts")
            yield json.loads(told)["hub"], lambda what: print(what, file=hub.stdin, flush=True)
        finally:
            hub.stdin.close()
            hub.wait(10)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--root", required=True, help="the browser's system")
    options.add_argument("--hub", required=True, help="the program that is a hub with a small fleet")
    options.add_argument("--e3", required=True, help="the owner's command")
    options.add_argument("--pictures", action="store_true", help="make the pictures anew")
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, fleet(options.hub, folder) as (hub, happen), Chromium(options.root) as chromium:
        def login():
            command = [options.e3, "--fleet", folder, "--json", "login", "--key", f"{folder}/key.pem"]
            return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)

        page = Page(chromium, hub, login)
        page.open()
        expect("harbour" in page.text(), "there is a page")
        coloured(page)
        narrow(page, "as a stranger")
        accessible(page, "as a stranger")
        chromium.theme("light")
        chromium.size(*WIDE)
        keyboard(page)
        scriptless(page)
        page.sign_in()
        narrow(page, "signed in")
        accessible(page, "signed in")
        chromium.theme("light")
        chromium.size(*WIDE)
        page.open()
        keyboard(page)
        if options.pictures:
            pictures(page, PICTURES)
            chromium.theme("light")
            chromium.size(*WIDE)
        live(page, happen)
        # But for the link that was tried twice, on purpose.
        complaints = [text for text in chromium.complaints() if "403" not in text]
        expect(not complaints, f"the browser complains: {complaints}")
    print("The page holds.")


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        sys.exit(f"error: {error}")
