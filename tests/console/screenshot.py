"""screenshot.py RUN FILE SECONDS: the way of an order, as ./dev screenshot shows it to README's readers: the
system of that run folder, after it has been sent orders for so long."""

import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "integration"))

from playwright.sync_api import expect  # noqa: E402

from browsing import Console, chromium, open_context  # noqa: E402
from system import ROOT, System  # noqa: E402

WIDTH, LOWEST = 1280, 400
ORDERS_PER_SECOND = 60
MORE_S = 3  # orders flow on while the picture is taken


def main():
    run, file, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    orders = ORDERS_PER_SECOND * (seconds + MORE_S)
    demo = [ROOT / "dev", "demo", "--orders", str(orders), "--rate", str(ORDERS_PER_SECOND)]
    with chromium() as browser, open_context(browser, device_scale_factor=1.5) as context:
        page = context.new_page()
        console = Console(page, None, System(run))
        console.open()
        console.sign_in(console.read_token)
        expect(console.sentence).to_have_class("well")
        sending = subprocess.Popen(demo)
        page.wait_for_timeout(seconds * 1000)
        height = page.evaluate("document.querySelector('main').getBoundingClientRect().bottom")
        page.set_viewport_size({"width": WIDTH, "height": max(LOWEST, round(height))})
        page.screenshot(path=file)
    return sending.wait()


if __name__ == "__main__":
    sys.exit(main())
