# SPDX-License-Identifier: LGPL-2.1-or-later
"""Events: each is kept, numbered and in the journal, and who was away can prove that it missed nothing."""

import json
import os
import shutil
import signal
import struct
import subprocess
import time
import unittest

import lib
from lib_container import BUSYBOX, ContainerTestCase, daemon_away, events_since, last_event

MANAGER = ("/org/moored1", "org.moored1.Manager")
DROP_IN = "/etc/moored/moored.conf.d/events.conf"


def events_call(sequence, maximum=0):
    """EventsSince(): the events, or the error's name."""

    result = lib.run(["busctl", "--json=short", "call", lib.BUS_NAME, *MANAGER, "EventsSince", "tu", str(sequence), str(maximum)],
                     check=False)
    return json.loads(result.stdout)["data"][0] if result.returncode == 0 else result.stderr.strip()


def sequences(text):
    return [json.loads(line)["Sequence"] for line in text.splitlines()]


def journal_of(event):
    lib.run(["journalctl", "--sync"])
    lines = lib.run(["journalctl", "-o", "json", f"MOORED_EVENT={event['Sequence']}", f"MOORED_TOPIC={event['Topic']}",
                     f"MOORED_{event['Topic'].split('/')[0].upper()}={event['Subject']}"]).stdout.splitlines()
    return [json.loads(line) for line in lines]


def make_events(n):
    """Two events each."""

    for i in range(n):
        lib.moorctl("tag", BUSYBOX, f"localhost/many:{i}")
        lib.moorctl("rmi", f"localhost/many:{i}")


class EventsTest(ContainerTestCase):
    def test_each_is_in_the_journal(self):
        begin = last_event()
        self.run_container("--name=journaled", BUSYBOX, "sh", "-c", "exit 3", status=3)
        lib.moorctl("tag", BUSYBOX, "localhost/other:1")
        lib.moorctl("rmi", "localhost/other:1")
        lib.moorctl("namespace", "create", "spare")
        lib.moorctl("namespace", "rm", "spare")
        events = events_since(begin)
        self.assertEqual([e["Sequence"] for e in events], list(range(begin + 1, begin + 9)))
        ids = set()
        for event in events:
            entries = journal_of(event)
            self.assertEqual(len(entries), 1, event)
            entry = entries[0]
            self.assertEqual((entry["_SYSTEMD_UNIT"], entry["SYSLOG_IDENTIFIER"]), ("moored.service", "moored"))
            self.assertEqual(entry["MOORED_NAMESPACE"], event["Namespace"])
            self.assertRegex(entry["MESSAGE_ID"], "^[0-9a-f]{32}$")
            ids.add(entry["MESSAGE_ID"])
        self.assertEqual(len(ids), 8)
        exited = journal_of(next(e for e in events if e["Topic"] == "container/exited"))[0]
        self.assertEqual((exited["MOORED_EXIT_CODE"], exited["MOORED_RESULT"], exited["MOORED_IMAGE"]), ("3", "exit-code", BUSYBOX))
        self.assertTrue(exited["MESSAGE"].startswith("Container journaled has ended: "))

    def test_catalogue(self):
        lib.run(["journalctl", "--update-catalog"])
        begin = last_event()
        self.run_container("--name=explained", BUSYBOX, "sh", "-c", "exit 4", status=4)
        lib.run(["journalctl", "--sync"])
        exited = next(e for e in events_since(begin) if e["Topic"] == "container/exited")
        text = lib.run(["journalctl", "-x", f"MOORED_EVENT={exited['Sequence']}", "MOORED_CONTAINER=explained"]).stdout
        self.assertIn("Subject: Container explained has ended", text)
        self.assertIn("exit code was 4", text)
        self.assertEqual(lib.run(["journalctl", "--list-catalog", journal_of(exited)[0]["MESSAGE_ID"]]).returncode, 0)

    def test_filters(self):
        begin = last_event()
        since = f"--since={begin}"
        self.run_container("--name=one", BUSYBOX, "true")
        self.run_container("--name=two", BUSYBOX, "true")
        lib.moorctl("tag", BUSYBOX, "localhost/filtered:1")
        lib.moorctl("rmi", "localhost/filtered:1")

        def topics(*filters):
            lines = lib.moorctl("events", since, "--json=short", *(f"--filter={f}" for f in filters)).stdout.splitlines()
            return [(e["Topic"], e["Subject"]) for e in map(json.loads, lines)]

        self.assertEqual(len(topics()), 10)
        self.assertEqual({s for _, s in topics("container=one")}, {"one"})
        self.assertEqual(len(topics("container=one", "container=two")), 8)
        self.assertEqual(topics("event=exited"), [("container/exited", "one"), ("container/exited", "two")])
        self.assertEqual(topics("event=container/exited", "container=two"), [("container/exited", "two")])
        self.assertEqual([t for t, _ in topics("type=image")], ["image/tagged", "image/removed"])
        self.assertEqual(topics("image=localhost/filtered:1"), topics("type=image"))
        self.assertIn(("container/exited", "one"), topics(f"image={BUSYBOX}"))
        self.assertEqual(topics("namespace=elsewhere"), [])
        result = lib.moorctl("events", "--filter=colour=red", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("container, event, image", result.stderr)

    def test_until(self):
        begin = last_event()
        self.run_container("--name=early", BUSYBOX, "true")
        events = events_since(begin)
        middle = events[1]["USec"]
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(middle // 1000000)) + f".{middle % 1000000:06d}Z"
        self.assertEqual(sequences(lib.moorctl("events", f"--since={begin}", f"--until={stamp}", "--json=short").stdout),
                         [e["Sequence"] for e in events[:2]])
        # Following ends then.
        result = lib.moorctl("events", "-f", f"--since={begin}", f"--until=@{int(time.time()) + 2}", "--json=short")
        self.assertEqual(sequences(result.stdout), [e["Sequence"] for e in events])

    def test_who_was_too_slow(self):
        begin = last_event()
        process = subprocess.Popen(["moorctl", "events", "-f", f"--since={begin}", "--json=short"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.run_container("--name=awake", BUSYBOX, "true")
        got = [process.stdout.readline() for _ in range(4)]
        process.send_signal(signal.SIGSTOP)
        make_events(60)
        lib.kill9_moored()
        make_events(10)
        process.send_signal(signal.SIGCONT)
        got += [process.stdout.readline() for _ in range(140)]
        process.terminate()
        process.wait(20)
        self.assertEqual(sequences("".join(got)), list(range(begin + 1, begin + 145)))

    def test_what_is_not_kept(self):
        os.makedirs(os.path.dirname(DROP_IN), exist_ok=True)
        make_events(20)
        last = last_event()
        try:
            with open(DROP_IN, "w", encoding="utf-8") as f:
                f.write("[Manager]\nEventsMax=15\n")
            lib.run(["systemctl", "restart", "moored.service"])
            oldest = lib.busctl_property(*MANAGER, "OldestEventSequence")
            self.assertEqual(oldest, last - 14)
            self.assertEqual(lib.busctl_property(*MANAGER, "EventSequence"), last)
            self.assertIn(f"{oldest - 1}", events_call(1))
            self.assertEqual([e[0] for e in events_call(oldest - 1)], list(range(oldest, last + 1)))
            self.assertEqual([e[0] for e in events_call(0)], list(range(oldest, last + 1)))
            self.assertEqual(events_call(last), [])
            self.assertIn(str(last), events_call(last + 1))
            self.assertEqual(lib.run(["busctl", "call", lib.BUS_NAME, *MANAGER, "EventsSince", "tu", "1", "0"], check=False).returncode, 1)

            result = lib.moorctl("events", f"--since={oldest - 3}", "--json=short", check=False)
            self.assertEqual((result.returncode, sequences(result.stdout)), (1, list(range(oldest, last + 1))))
            self.assertIn(f"the events {oldest - 2} to {oldest - 1} are not kept", result.stderr)
            result = lib.moorctl("events", f"--since={oldest - 1}", "--json=short")
            self.assertEqual((sequences(result.stdout), result.stderr), (list(range(oldest, last + 1)), ""))
            result = lib.moorctl("events", f"--since={last + 5}", check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn(str(last), result.stderr)
        finally:
            os.unlink(DROP_IN)
            lib.run(["systemctl", "restart", "moored.service"])

    def test_after_a_power_loss(self):
        # As after one: what was in the daemon's log of changes may not have reached the disk, and /run is empty.
        make_events(1)
        last = last_event()
        with daemon_away():
            self.assertTrue(os.path.exists("/var/lib/moored/moored.db-wal"))
            shutil.rmtree("/run/moored/containers")
        found = events_call(last)
        self.assertEqual((found[0][3], found[0][0]), ("events/lost", last + 10001))
        details = {k: v["data"] for k, v in found[0][5].items()}
        self.assertEqual(details, {"First": last + 1, "Last": last + 10000, "Reason": "power-loss"})
        result = lib.moorctl("events", f"--since={last}", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"the events {last + 1} to {last + 10000} are not kept", result.stderr)
        # Nobody asked for these.
        for options in ((), ("--lines=1",), (f"--since=@{int(time.time()) - 3600}",)):
            self.assertEqual(lib.moorctl("events", *options).stderr, "")
        # Once.
        lib.kill9_moored()
        self.assertEqual([e[3] for e in events_call(last + 10001)], [])
        # Nor where the daemon was stopped in time.
        lib.run(["systemctl", "stop", "moored.service"])
        self.assertFalse(os.path.exists("/var/lib/moored/moored.db-wal"))
        shutil.rmtree("/run/moored/containers")
        lib.start_moored()
        self.assertEqual(events_call(last + 10001), [])

    def test_no_entry_of_the_journal_is_lost(self):
        # The daemon is killed before it has written the last ones.
        begin = last_event()
        make_events(2)
        with daemon_away():
            with open("/run/moored/journaled", "r+b") as f:
                self.assertEqual(struct.unpack("=Q", f.read()), (begin + 4,))
                f.seek(0)
                f.write(struct.pack("=Q", begin + 2))
        counts = [len(journal_of(e)) for e in events_since(begin)]
        self.assertEqual(counts, [1, 1, 2, 2])

    def test_after_the_database_was_lost(self):
        make_events(1)
        last = last_event()
        with daemon_away():
            for name in os.listdir("/var/lib/moored"):
                if name.startswith("moored.db"):
                    os.unlink(f"/var/lib/moored/{name}")
        self.assertIn(str(last + 1), events_call(last))
        found = events_call(0)
        self.assertEqual(found[0][3], "events/lost")
        self.assertGreater(found[0][0], last)
        self.assertEqual(found[0][5]["Reason"]["data"], "database-lost")
        self.assertEqual([e[0] for e in found], list(range(found[0][0], found[0][0] + len(found))))


if __name__ == "__main__":
    unittest.main()
