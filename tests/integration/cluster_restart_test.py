"""What dies comes back: coordinator, worker, and members that leave in order."""

import signal
import unittest

from cluster import Cluster, await_condition, make_dataset, merged, small_job

STEPS = 60


class RestartTest(unittest.TestCase):

    def setUp(self):
        self.cluster = Cluster(workers=2, attention_servers=1).__enter__()
        self.addCleanup(lambda: self.cluster.__exit__(None, None, None))
        self.base = merged(small_job(make_dataset(self.cluster.directory)), {
            "training": {"steps": STEPS},
            "deterministic": True,
            "attention": {"dedicated": 1, "in_place": True},
            "checkpoint": {"every": 10},
        })
        self.cluster.submit("reference", self.job("reference"))
        self.cluster.events("reference")
        self.reference = self.cluster.checksum("reference")

    def job(self, directory):
        return merged(self.base, {"checkpoint": {"directory": self.cluster.path(directory)}})

    def start_and_reach(self, job_id, step):
        self.cluster.submit(job_id, self.job(job_id))
        self.cluster.await_step(job_id, step)

    def finish(self, job_id, restarts):
        events = self.cluster.events(job_id)
        status = self.cluster.await_phase(job_id, "succeeded")
        self.assertEqual(status["weights_checksum"], self.reference)
        self.assertEqual(int(status["restarts"]), restarts)
        self.assertEqual([int(e["sequence"]) for e in events], list(range(1, len(events) + 1)))
        return events

    def test_everything_that_can_die(self):
        with self.subTest("the coordinator is killed and comes back"):
            self.start_and_reach("coordinator-dies", 12)
            before = self.cluster.get("reference")
            self.cluster.coordinator.kill()
            self.cluster.start_coordinator()
            self.assertEqual(self.cluster.get("reference"), before)
            jobs = self.cluster.rally("list").stdout
            self.assertIn("coordinator-dies", jobs)
            self.finish("coordinator-dies", restarts=0)

        with self.subTest("a worker is killed and replaced"):
            self.start_and_reach("worker-dies", 12)
            await_condition(lambda: self.cluster.status("worker-dies").get("checkpoint"),
                            "a checkpoint is on disk")
            self.cluster.members.pop("worker-1").kill()
            self.cluster.await_phase("worker-dies", "queued")
            self.cluster.add_member("model", "worker-2")
            events = self.finish("worker-dies", restarts=1)
            steps = [int(e["step"]["step"]) for e in events if "step" in e]
            again = [b for a, b in zip(steps, steps[1:]) if b <= a]
            self.assertTrue(all(step > 10 for step in again),
                            f"steps after a checkpoint, not {again}")

        with self.subTest("a worker leaves in order"):
            self.start_and_reach("worker-leaves", 3)
            leaving = self.cluster.members.pop("worker-0")
            leaving.signal(signal.SIGTERM)
            self.assertEqual(leaving.wait(), 0, leaving.log())
            self.cluster.add_member("model", "worker-3")
            events = self.finish("worker-leaves", restarts=0)
            steps = [int(e["step"]["step"]) for e in events if "step" in e]
            self.assertEqual(steps, list(range(1, STEPS + 1)), "no step was lost or repeated")

        codes = self.cluster.stop()
        self.assertEqual(set(codes.values()), {0}, codes)


if __name__ == "__main__":
    unittest.main()
