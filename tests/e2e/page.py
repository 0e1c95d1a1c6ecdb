#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Looks at lightvmd's page with a real browser: page.py CHROMIUM URL LIGHTVM [PICTURE].

Speaks the DevTools protocol over two pipes, so nothing but the browser is needed. Says "ok NAME" and "not ok NAME - WHY"."""
import base64
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time

CHROMIUM, URL, LIGHTVM = sys.argv[1:4]
PICTURE = sys.argv[4] if len(sys.argv) > 4 else None
PATIENCE = 30 * int(os.environ.get("LV_TIME_FACTOR", "1"))
failures = 0


def result(name, why=None):
    global failures
    failures += why is not None
    print(f"ok {name}" if why is None else f"not ok {name} - {why}", flush=True)


class Browser:
    def __init__(self, profile):
        to_browser, self.out = os.pipe()
        self.source, from_browser = os.pipe()
        # The protocol's descriptors are 3 and 4.
        places = [os.dup(to_browser), os.dup(from_browser)]
        while min(places) < 5:
            places = [os.dup(place) for place in places]

        def arrange():
            os.dup2(places[0], 3)
            os.dup2(places[1], 4)

        options = ["--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
                   "--disable-extensions", "--disable-sync", "--no-proxy-server", f"--user-data-dir={profile}", "--window-size=1152,900", "--hide-scrollbars"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # it refuses to be root's otherwise
        self.log = open(os.path.join(profile, "log"), "wb")
        self.process = subprocess.Popen([CHROMIUM, *options, "about:blank"], preexec_fn=arrange, close_fds=False, start_new_session=True, stderr=self.log, stdout=self.log)
        for fd in (to_browser, from_browser, *places):
            os.close(fd)
        self.buffer, self.number, self.complaints, self.session = b"", 0, [], None

    def read(self, deadline):
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.source], [], [], left)[0]:
                raise TimeoutError("the browser does not answer")
            piece = os.read(self.source, 1 << 20)
            if not piece:
                raise EOFError("the browser has ended: " + open(self.log.name, errors="replace").read()[-500:])
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(line)
        method, what = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(what["exceptionDetails"].get("exception", {}).get("description") or what["exceptionDetails"]["text"])
        elif method == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
            self.complaints.append(what["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning"):
            self.complaints.append(str(what["args"]))
        return message

    def call(self, method, **params):
        self.number += 1
        request = {"id": self.number, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.out, json.dumps(request).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while (message := self.read(deadline)).get("id") != self.number:
            pass
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']['message']}")
        return message["result"]

    def open(self, url):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            self.call(domain + ".enable")
        self.call("Page.navigate", url=url)

    def ask(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']['text']}")
        return answer["result"].get("value")

    def end(self):
        """Ends it and all that it started, which writes to the profile for as long as it lives."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                return
            select.select([], [], [], 0.01)
        raise TimeoutError("processes of the browser do not end")


def lightvm(*words):
    done = subprocess.run([LIGHTVM, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"lightvm {' '.join(words)}: {done.stderr}")
    return done.stdout.strip()


def main():
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(profile)
        try:
            look(browser)
        except (TimeoutError, EOFError, RuntimeError, OSError) as error:
            result("the browser", str(error))
        finally:
            browser.end()
    sys.exit(failures > 0)


def look(browser):
    def attempt(expression):
        try:
            return browser.ask(expression)
        except RuntimeError as error:  # what it asks of is not there yet
            return str(error)

    def shows(name, expression, wanted=True):
        deadline = time.monotonic() + PATIENCE
        while (got := attempt(expression)) != wanted and time.monotonic() < deadline:
            select.select([], [], [], 0.05)
        result(name, None if got == wanted else f"{got!r}, not {wanted!r}")

    def row(vm):
        return f"document.querySelector('[data-vm=\"{vm}\"]')"

    rows = "document.querySelectorAll('#vms tbody tr').length"
    there = len(lightvm("ps", "-aq").split())
    browser.open(URL)
    shows("the page is live", "document.getElementById('live').textContent", "live")
    shows("all VMs that there are", rows, there)
    shows("lightvmd's version", "document.getElementById('about').textContent.startsWith('lightvmd ')")
    shows("a pool", "document.querySelectorAll('#pools tbody tr').length >= 1")

    # By events alone, from here on: nothing asks for the list again.
    vm = lightvm("run", "-d", "--name", "shown", "/usr/bin/sleep", "1000").split("\n")[0]
    shows("a VM appears", f"{row(vm)}?.children[0].textContent", "shown")
    shows("and runs", f"{row(vm)}?.children[2].textContent", "running")
    shows("its ledger is a bar", f"{row(vm)}?.querySelectorAll('rect').length >= 5")
    shows("whose steps have a length", f"[...{row(vm)}.querySelectorAll('rect')].some(rect => rect.getAttribute('width') > 0.5)")
    shows("and a legend", "document.querySelectorAll('#steps span').length >= 5")
    shows("its start is a point", "document.querySelectorAll('#starts circle').length >= 1")
    lightvm("pause", vm)
    shows("pause", f"{row(vm)}?.children[2].textContent", "paused")
    lightvm("resume", vm)
    shows("resume", f"{row(vm)}?.children[2].textContent", "running")
    lightvm("rename", vm, "again")
    shows("rename", f"{row(vm)}?.children[0].textContent", "again")
    if PICTURE:  # with a chart worth looking at, and a table that leaves room for it
        crowd = [lightvm("run", "-d", "/usr/bin/sleep", "1000").split("\n")[0] for _ in range(60)]
        shows("a crowd", "document.querySelectorAll('#starts circle').length >= 60")
        lightvm("rm", "-f", *crowd)
        shows("that goes", f"{row(crowd[-1])} === null && {rows} === {there + 1}")
        with open(PICTURE, "wb") as out:
            out.write(base64.b64decode(browser.call("Page.captureScreenshot", format="png")["data"]))
    lightvm("stop", vm)
    shows("stop", f"{row(vm)}?.children[2].textContent.startsWith('exited')")
    lightvm("rm", vm)
    shows("rm", f"{row(vm)} === null")
    shows("events are listed", "[...document.querySelectorAll('#events li')].some(line => / destroy .* again/.test(line.textContent))")

    # What others write into the files of a VM is text, whatever it looks like.
    shows("markup in a program's name is shown as text", "[...document.querySelectorAll('#vms td')].some(cell => cell.textContent.includes('<img src=x onerror='))")
    shows("and becomes no element", "document.querySelectorAll('img').length", 0)
    shows("nor a script", "typeof window.owned", "undefined")
    shows("nothing is loaded from elsewhere",
          "performance.getEntriesByType('resource').every(entry => entry.name.startsWith(location.origin + '/'))")
    # A VM may go between its event and the question for it.
    complaints = [line for line in browser.complaints if "404 (Not Found)" not in line]
    result("no error in the browser's log", None if not complaints else "; ".join(complaints)[:500])

    browser.ask("window.fetched = fetch('http://127.0.0.1:9/').then(() => 'reached', error => 'refused')")
    answer = browser.call("Runtime.evaluate", expression="window.fetched", awaitPromise=True, returnByValue=True)
    result("the policy lets it reach nothing else", None if answer["result"]["value"] == "refused" and any(
        "Content Security Policy" in line for line in browser.complaints) else f"{answer['result']}, {browser.complaints}")


if __name__ == "__main__":
    main()
