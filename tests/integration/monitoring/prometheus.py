"""A real Prometheus (Debian's, as ./dev fetches it) that scrapes one system, and its promtool."""

import re
import subprocess

import requests
import yaml

from system import ROOT, SERVICES
from wait import eventually

HOME = ROOT / "build/prometheus"
RULES = sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))


def promtool(*arguments, **options):
    """Fails the test, with what promtool says, unless it is content."""
    result = subprocess.run(
        [HOME / "usr/bin/promtool", *arguments], capture_output=True, text=True, timeout=120, **options
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def alerts():
    """Every alert by its name."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def hurried(text, factor=30):
    """The rules with all their times divided, so that a test need not wait for an hour: what must
    last for 5 minutes lasts for 10 seconds. What they look back is only half as hurried, and 6 s at
    least: it must hold some scrapes also where each takes its time, and faults that repeat."""
    seconds = {"s": 1, "m": 60, "h": 3600}

    def shorter(match):
        looks_back = match["before"] == "["
        divided = int(match["number"]) * seconds[match["unit"]] // factor
        return f"{match['before']}{max(2 * divided, 6) if looks_back else max(divided, 1)}s"

    return re.sub(r"(?P<before>\[|for: )(?P<number>\d+)(?P<unit>[smh])", shorter, text)


class Prometheus:
    """Scrapes every second; with hurried rules."""

    def __init__(self, folder, system):
        self.folder = folder
        self.system = system
        self.process = None
        self.url = None

    def start(self, port):
        rules = self.folder / "rules"
        rules.mkdir()
        for path in RULES:
            (rules / path.name).write_text(hurried(path.read_text()))
        every_second = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        configuration = {
            "global": every_second,
            "rule_files": [f"{rules}/*.yml"],
            "scrape_configs": [
                {"job_name": service, "static_configs": [{"targets": self.targets(service)}]}
                for service in SERVICES
            ],
        }
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        promtool("check", "config", self.folder / "prometheus.yml")
        self.url = f"http://127.0.0.1:{port}"
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [
                    HOME / "usr/bin/prometheus",
                    f"--config.file={self.folder}/prometheus.yml",
                    f"--storage.tsdb.path={self.folder}/data",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        eventually(self.is_scraping, "Prometheus scrapes every service")

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(60)

    def targets(self, service):
        return [self.system.admin_url(f"{service}-1").removeprefix("http://")]

    def is_scraping(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            ready = requests.get(self.url + "/-/ready", timeout=30).status_code == 200
            return ready and len(self.query("up == 1")) == len(SERVICES)
        except requests.ConnectionError:
            return False

    def get(self, path, **parameters):
        answer = requests.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=60).json()
        assert answer["status"] == "success", f"{path} {parameters}: {answer}"
        return answer["data"]

    def query(self, expression):
        """What it is now: a list of (labels, value)."""
        result = self.get("query", query=expression)["result"]
        return [(series["metric"], float(series["value"][1])) for series in result]

    def history(self, expression, start, end, step=1):
        """The labels of every series that had a value between two times."""
        data = self.get("query_range", query=expression, start=start, end=end, step=step)
        return [series["metric"] for series in data["result"]]

    def firing(self):
        return [alert["labels"] for alert in self.get("alerts")["alerts"] if alert["state"] == "firing"]

    def fires(self, name, **labels):
        wanted = {"alertname": name, **labels}
        return any(wanted.items() <= alert.items() for alert in self.firing())
