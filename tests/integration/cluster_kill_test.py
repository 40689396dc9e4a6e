"""Workers and the coordinator are killed again and again at random moments of a real job.

RALLY_KILLS sets how often (5 each).
"""

import os
import random
import statistics
import time
import unittest

from cluster import Cluster, await_condition, make_dataset, merged, small_job

KILLS = int(os.environ.get("RALLY_KILLS", "5"))


class KillTest(unittest.TestCase):

    def setUp(self):
        self.cluster = Cluster(workers=2, attention_servers=1).__enter__()
        self.addCleanup(lambda: self.cluster.__exit__(None, None, None))
        self.random = random.Random(5)
        self.steps = 40 + 8 * KILLS
        self.spec = merged(small_job(make_dataset(self.cluster.directory)), {
            "training": {"steps": self.steps},
            "batch": {"chunk_tokens": 1024},
            "deterministic": True,
            "attention": {"dedicated": 1, "in_place": True},
            "checkpoint": {"every": 5},
            "max_restarts": 1000,
        })

    def start(self, job_id):
        self.cluster.submit(job_id, merged(
            self.spec, {"checkpoint": {"directory": self.cluster.path(job_id)}}))

    def step(self, job_id):
        return int(self.cluster.status(job_id).get("step", 0))

    def finish(self, job_id):
        events = self.cluster.events(job_id)
        status = self.cluster.await_phase(job_id, "succeeded")
        self.assertEqual([int(e["sequence"]) for e in events], list(range(1, len(events) + 1)))
        return [int(e["step"]["step"]) for e in events if "step" in e], status

    def strike(self, job_id, kill):
        """Kills as often as asked; how long it took each time until a further step was made."""
        self.cluster.await_step(job_id, 3)
        recoveries = []
        for _ in range(KILLS):
            time.sleep(self.random.uniform(0.0, 0.5))
            self.cluster.await_phase(job_id, "running")
            before = self.step(job_id)
            begin = time.monotonic()
            kill()
            await_condition(lambda: self.step(job_id) > before, f"a step after {before}")
            recoveries.append(time.monotonic() - begin)
        print(f"{job_id}: {KILLS} kills, recovered in {statistics.median(recoveries):.2f} s "
              f"(median), {max(recoveries):.2f} s (worst)", flush=True)

    def test_kills(self):
        self.start("calm")
        _, calm = self.finish("calm")

        with self.subTest("coordinator"):

            def kill_coordinator():
                self.cluster.coordinator.kill()
                self.cluster.start_coordinator()

            self.start("coordinator")
            self.strike("coordinator", kill_coordinator)
            steps, status = self.finish("coordinator")
            self.assertEqual(steps, list(range(1, self.steps + 1)), "every step once, in order")
            self.assertEqual(int(status.get("restarts", 0)), 0)
            self.assertEqual(status["weights_checksum"], calm["weights_checksum"])

        with self.subTest("worker"):
            spare = [2]

            def kill_worker():
                workers = [name for name in self.cluster.members if name.startswith("worker")]
                self.cluster.members.pop(self.random.choice(workers)).kill()
                self.cluster.add_member("model", f"worker-{spare[0]}")
                spare[0] += 1

            self.start("worker")
            self.strike("worker", kill_worker)
            _, status = self.finish("worker")
            self.assertEqual(status["weights_checksum"], calm["weights_checksum"])
            self.assertGreaterEqual(int(status["restarts"]), KILLS)


if __name__ == "__main__":
    unittest.main(verbosity=2)
