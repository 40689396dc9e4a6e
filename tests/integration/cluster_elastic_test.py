"""Attention servers die and hang within the steps of a real job, and nothing is lost.

RALLY_KILLS sets the number of kills (20). What each took is printed.
"""

import os
import random
import signal
import statistics
import threading
import time
import unittest

from cluster import Cluster, await_condition, make_dataset, merged, small_job

KILLS = int(os.environ.get("RALLY_KILLS", "20"))
STEPS_PER_KILL = 3
EARLY = 50  # Steps whose losses equal the undisturbed ones to rounding.
FEW = EARLY + 30  # Steps of a job that nothing keeps busy for longer.
TOLERANCE = 1e-5
LONGEST_EXTRA = 2.0  # Seconds a step may take longer for a kill.


def steps_of(events):
    return [event["step"] for event in events if "step" in event]


def seconds(duration):
    return float(duration.rstrip("s"))


class Slowed:
    """A process that gets a tenth of its time until stop(): 2 of 20 ms."""

    def __init__(self, pid):
        self.pid = pid
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopped.wait(0.002):
            os.kill(self.pid, signal.SIGSTOP)
            self.stopped.wait(0.018)
            os.kill(self.pid, signal.SIGCONT)

    def stop(self):
        self.stopped.set()
        self.thread.join()


class ElasticTest(unittest.TestCase):

    known = {}  # References by number of steps: every test's data and model are the same.

    def setUp(self):
        # Two more servers than the job takes: they replace those that are struck.
        self.cluster = Cluster(workers=2, attention_servers=5).__enter__()
        self.addCleanup(lambda: self.cluster.__exit__(None, None, None))
        self.random = random.Random(11)
        self.next_server = 5
        self.dataset = make_dataset(self.cluster.directory)

    def job(self, steps, **attention):
        return merged(small_job(self.dataset), {
            "training": {"steps": steps},
            "batch": {"chunk_tokens": 2048},
            "attention": {"dedicated": 3, "in_place": False, **attention},
        })

    def servers(self):
        return [name for name in self.cluster.members if name.startswith("attention")]

    def add_server(self):
        self.cluster.add_member("attention", f"attention-{self.next_server}")
        self.next_server += 1

    def losses(self, job_id, spec):
        self.cluster.submit(job_id, spec)
        return [step["loss"] for step in steps_of(self.cluster.events(job_id))]

    def changes(self, job_id):
        status = self.cluster.status(job_id)
        self.assertEqual(status["phase"], "JOB_PHASE_RUNNING", "too few steps for so many kills")
        return int(status.get("pool_changes", 0))

    def disturb(self, job_id, spec, strikes, strike, pause=0.0):
        """Runs a job and strikes at random moments, until it has been hit often enough; losses."""
        self.cluster.submit(job_id, spec)
        self.cluster.await_step(job_id, 2)
        hits, seen = 0, 0
        while hits < strikes:
            time.sleep(pause + self.random.uniform(0.0, 0.4))
            strike()
            now = self.changes(job_id)
            hits += now > seen
            seen = now
        found = self.finish(job_id, spec)
        self.report(job_id)
        return found

    def finish(self, job_id, spec):
        events = self.cluster.events(job_id)
        status = self.cluster.await_phase(job_id, "succeeded")
        self.assertEqual(int(status.get("restarts", 0)), 0, status)
        steps = steps_of(events)
        self.assertEqual([int(step["step"]) for step in steps],
                         list(range(1, spec["training"]["steps"] + 1)),
                         "every step once and in order")
        return [step["loss"] for step in steps]

    def report(self, job_id):
        """Time that steps took above the usual, for each change of the pool within them."""
        events = self.cluster.events(job_id)
        usual = statistics.median(seconds(step["duration"]) for step in steps_of(events))
        extra, before, now = [], 0, 0
        for event in events:
            now = int(event.get("status", {}).get("pool_changes", now))
            if "step" in event and now > before:
                extra.append((seconds(event["step"]["duration"]) - usual) / (now - before))
                before = now
        self.worst = max(extra)
        print(f"{job_id}: {now} pool changes, usual step {usual:.3f} s, extra time for each: "
              f"median {statistics.median(extra):.3f} s, worst {self.worst:.3f} s", flush=True)

    def compare(self, expected, found, spread):
        for i, (a, b) in enumerate(zip(expected, found)):
            allowed = TOLERANCE if i < EARLY else max(TOLERANCE, 2 * spread)
            self.assertLessEqual(abs(a - b) / a, allowed, f"step {i + 1}")

    def references(self, steps):
        """Undisturbed losses, and what another plan alone does to them."""
        if steps not in self.known:
            self.known[steps] = self.measure_references(steps)
        return self.known[steps]

    def measure_references(self, steps):
        expected = self.losses("calm", self.job(steps))
        other = self.losses("other-plan", self.job(steps, in_place=True, tolerance=0.3))
        spread = max(abs(a - b) / a for a, b in zip(expected, other))
        print(f"spread of losses by another plan alone: {spread:.2e}", flush=True)
        return expected, spread

    def test_kills(self):
        steps = max(FEW, STEPS_PER_KILL * KILLS)
        expected, spread = self.references(steps)

        def kill():
            name = self.random.choice(self.servers())
            self.cluster.members.pop(name).kill()
            self.add_server()

        found = self.disturb("kills", self.job(steps), KILLS, kill)
        self.compare(expected, found, spread)
        self.assertLess(self.worst, LONGEST_EXTRA)

    def test_hangs(self):
        hangs = max(KILLS // 6, 1)
        steps = EARLY + 25 * hangs  # A hang takes a second to be seen, and some meet idle servers.
        expected, spread = self.references(steps)
        stopped = []

        def stop():
            process = self.cluster.members[self.random.choice(self.servers())]
            if process in stopped:
                return
            process.signal(signal.SIGSTOP)
            stopped.append(process)
            if len(stopped) > 2:  # It comes back, and joins again.
                stopped.pop(0).signal(signal.SIGCONT)

        self.addCleanup(lambda: [process.signal(signal.SIGCONT) for process in stopped])
        found = self.disturb("hangs", self.job(steps), hangs, stop, pause=0.8)
        self.compare(expected, found, spread)
        self.assertLess(self.worst, LONGEST_EXTRA)

    def test_a_server_ten_times_as_slow(self):
        steps = FEW
        expected, spread = self.references(steps)
        spec = self.job(steps)
        self.cluster.submit("slow", spec)
        self.cluster.await_step("slow", 10)
        slow = Slowed(self.cluster.members[self.servers()[0]].popen.pid)
        self.addCleanup(slow.stop)
        begun = int(self.cluster.status("slow")["step"])
        await_condition(lambda: int(self.cluster.status("slow")["step"]) > steps - 10, "it goes on")
        slow.stop()
        found = self.finish("slow", spec)
        self.compare(expected, found, spread)
        shares = [step["attention_shares"][2:] for step in steps_of(self.cluster.events("slow"))]
        calm = [statistics.mean(step[rank] for step in shares[:begun]) for rank in range(3)]
        then = [statistics.mean(step[rank] for step in shares[begun + 15:steps - 10])
                for rank in range(3)]
        print(f"shares of the three servers before {calm}, while one is slow {then}", flush=True)
        # To about a third where nothing else runs: plans trust no measurement further than a speed
        # of a quarter of the mean. On a busy machine all servers are slow. Left alone, it stays.
        self.assertLess(min(b / a for a, b in zip(calm, then)), 0.75)

    def test_all_servers_at_once(self):
        spec = self.job(FEW, in_place=True)
        expected, spread = self.references(FEW)
        self.cluster.submit("all", spec)
        self.cluster.await_step("all", 5)
        for name in self.servers():
            self.cluster.members[name].popen.kill()
        for name in self.servers():
            self.cluster.members.pop(name).kill()
        self.cluster.await_step("all", 15)
        found = self.finish("all", spec)
        self.compare(expected, found, spread)

        spec = self.job(FEW)
        self.add_server()
        for _ in range(2):
            self.add_server()
        self.cluster.submit("waits", spec)
        self.cluster.await_step("waits", 5)
        for name in self.servers():
            self.cluster.members.pop(name).kill()
        await_condition(lambda: self.cluster.condition("waits", "AttentionPoolEmpty"), "it waits")
        step = int(self.cluster.status("waits")["step"])
        time.sleep(1)
        self.assertEqual(int(self.cluster.status("waits")["step"]), step)
        self.add_server()
        found = self.finish("waits", spec)
        self.compare(expected, found, spread)


if __name__ == "__main__":
    unittest.main(verbosity=2)
