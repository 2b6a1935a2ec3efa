"""The ceiling: a bare loop that sends mails made beforehand with the standard library's SMTP client.

It is a process of its own, as a sender is. For each line `COUNT` on its input it sends so many mails over one
connection that stays open and answers the seconds that took:

    python -m tests.bench.campaign.bare --port 2525
"""

from __future__ import annotations

import argparse
import smtplib
import subprocess
import sys
import time
from datetime import UTC, datetime
from uuid import uuid4

from rapport_builtin.email.build import build
from rapport_sdk import OutboundMessage

from services.campaign.domain.rendering import CompiledContent, Content
from tests.bench.campaign.letter import CONTENT, PEOPLE, WEB, token
from tests.support.campaign import ROOT

_DISTINCT = 1_000
_NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def prebuilt() -> list[tuple[str, bytes]]:
    """Return recipients and whole mails: the letter of the benchmark with all its headers, filled for each."""
    content = CompiledContent(Content(**CONTENT))
    made = []
    for number in range(_DISTINCT):
        given, family, city = PEOPLE[number % len(PEOPLE)]
        person = {"given_name": given, "family_name": family, "locality": city, "attributes": {}}
        mail = f"mailto:u+marketing.{token()}@shop.test"
        web = f"{WEB}/u/{token()}{token()[:30]}"
        tracked = [f"{WEB}/c/{token()[:38]}" for _ in content.links]
        rendered = content.render(
            {"contact": person, "links": {"unsubscribe": web}, "now": _NOW}, links=tracked
        )
        pixel = f'<img src="{WEB}/o/{token()[:35]}.gif" width="1" height="1" alt="" style="display:block">'
        to = f"person.{number}@mail.test"
        message = OutboundMessage(
            message_id=str(uuid4()),
            to=to,
            to_name=f"{given} {family}",
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html.replace("</body>", f"{pixel}</body>"),
            from_address="care@shop.test",
            reply_to=f"reply+{token()}@shop.test",
            headers={
                "List-Unsubscribe": f"<{web}>, <{mail}>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
                "List-Id": "<marketing.shop.test>",
                "Precedence": "bulk",
            },
        )
        made.append((to, build(message, _NOW)))
    return made


class Bare:
    """The loop, in a child process."""

    def __init__(self, port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.campaign.bare", f"--port={port}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.send(1)  # it is connected then

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def send(self, count: int) -> float:
        """Send so many mails and return the seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(count, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.campaign.bare")
    parser.add_argument("--port", type=int, required=True)
    mails = prebuilt()
    with smtplib.SMTP("127.0.0.1", parser.parse_args().port) as server:
        server.ehlo()
        for line in sys.stdin:
            started = time.perf_counter()
            for number in range(int(line)):
                to, data = mails[number % len(mails)]
                server.sendmail("bounce@shop.test", [to], data)
            print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    _main()
