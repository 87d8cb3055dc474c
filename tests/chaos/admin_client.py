"""The gateway's admin API, as an operator's script uses it: what is safe to repeat is repeated."""

import time
from typing import Any

import requests

OPERATOR = "chaos"


class AdminClient:
    def __init__(self, env: dict[str, str]):
        self._url = env["API_URL"] + "/api/admin"
        self._headers = {"Authorization": f"Bearer {env['ADMIN_TOKEN']}", "X-Operator": OPERATOR}

    def post(self, path: str, body: Any = None, timeout: float = 30) -> requests.Response:
        return requests.post(self._url + path, json=body, headers=self._headers, timeout=timeout)

    def get(self, path: str, timeout: float = 10) -> dict:
        answer = requests.get(self._url + path, headers=self._headers, timeout=timeout)
        answer.raise_for_status()
        return answer.json()

    def replay_all(self, reason: str, per_second: int) -> dict:
        """The answer, {"job", "total"}. Not repeated: it would be another job."""
        answer = self.post(
            "/dead-letters/replay", {"filter": {"reason": reason}, "per_second": per_second, "dry_run": False}
        )
        if answer.status_code != 202:
            raise AssertionError(f"a replay is refused: {answer.status_code} {answer.text}")
        return answer.json()

    def start(self, kind: str, **parameters) -> int:
        """The job's number. Not repeated: it would be refused for the first one's sake."""
        answer = self.post("/jobs", {"kind": kind, "parameters": parameters})
        if answer.status_code != 202:
            raise AssertionError(f"{kind} is refused: {answer.status_code} {answer.text}")
        return answer.json()["id"]

    def cancel(self, number: int) -> None:
        answer = self.post(f"/jobs/{number}/cancel")
        answer.raise_for_status()

    def job(self, number: int) -> dict:
        return self.get(f"/jobs/{number}")

    def ended_job(self, number: int, timeout: float) -> dict:
        """The job, when it has ended by itself."""
        ends = time.monotonic() + timeout
        while True:
            try:
                job = self.job(number)
            except requests.RequestException:
                job = None
            if job and job["finished_at"]:
                return job
            if time.monotonic() > ends:
                raise AssertionError(f"not within {timeout:.0f} s: job {number} ends by itself; it is {job}")
            time.sleep(0.2)
