"""What a page must never do: write to the browser's console, break its own policy, ask another host."""

import re

# Told by the page itself, too: the policy's report in the browser's console names no directive.
TELL_OF_VIOLATIONS = """addEventListener("securitypolicyviolation", event => tellOfViolation(
    `${event.effectiveDirective} forbids ${event.blockedURI} ${event.sample}`))"""


class Complaints:
    """Those of all pages of a context."""

    def __init__(self, context, url):
        self._url = url
        self._expected = []
        self._seen = []
        context.on("console", self._note_message)
        context.on("weberror", lambda error: self._seen.append(f"error: {error.error}"))
        context.on("request", self._note_request)
        context.expose_binding("tellOfViolation", lambda _, text: self._seen.append(f"policy: {text}"))
        context.add_init_script(TELL_OF_VIOLATIONS)

    def expect(self, pattern):
        """Chromium writes of every answer from 400 on, and of every request without one, whatever the page
        does. A test names those that it brings about: a status, or a network error such as ERR_CONNECTION."""
        self._expected.append(re.compile(rf"Failed to load resource: .*\b{pattern}"))

    def unexpected(self):
        return [seen for seen in self._seen if not any(one.search(seen) for one in self._expected)]

    def _note_message(self, message):
        self._seen.append(f"{message.type}: {message.text} ({message.location['url']})")

    def _note_request(self, request):
        if not request.url.startswith((self._url, "data:", "about:")):
            self._seen.append(f"request: {request.url}")
