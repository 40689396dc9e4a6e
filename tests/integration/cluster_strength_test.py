"""A job goes on with fewer workers when a lost one is not replaced, and takes all again later."""

import unittest

from cluster import Cluster, await_condition, make_dataset, merged, small_job

STEPS = 120
COMPARED = 50  # Of them; later ones drift apart as roundings add up.
ROUNDING = 1e-5


class StrengthTest(unittest.TestCase):

    def setUp(self):
        self.cluster = Cluster(workers=2).__enter__()
        self.addCleanup(lambda: self.cluster.__exit__(None, None, None))
        self.base = merged(small_job(make_dataset(self.cluster.directory)), {
            "batch": {"chunk_tokens": 512, "chunks": 4},
            "training": {"steps": STEPS},
            "workers": 2,
            "min_workers": 1,
            "worker_wait_seconds": 1,
            "checkpoint": {"every": 10},
        })

    def submit(self, job_id):
        self.cluster.submit(job_id, merged(
            self.base, {"checkpoint": {"directory": self.cluster.path(job_id)}}))

    def lose_a_worker(self, job_id, name):
        """Once the job has a checkpoint; back when it trains on the other one."""
        await_condition(lambda: self.cluster.status(job_id).get("checkpoint"), "a checkpoint")
        self.cluster.await_step(job_id, 12)
        self.cluster.members.pop(name).kill()
        self.await_workers(job_id, 1)
        self.assertEqual(self.strength(job_id), ("CONDITION_STATUS_FALSE", "1 of 2 workers"))

    def await_workers(self, job_id, count):
        def reached():
            status = self.cluster.status(job_id)
            return status["phase"] == "JOB_PHASE_RUNNING" and status["workers"] == count

        await_condition(reached, f"{job_id} trains on {count} workers")

    def strength(self, job_id):
        conditions = {c["type"]: c for c in self.cluster.status(job_id)["conditions"]}
        return conditions["FullStrength"]["status"], conditions["FullStrength"]["message"]

    def finish(self, job_id):
        """Its steps in order, as (step, loss); the job must succeed, after one restart."""
        events = self.cluster.events(job_id)
        status = self.cluster.await_phase(job_id, "succeeded")
        self.assertEqual(int(status["restarts"]), 1)
        return [(int(e["step"]["step"]), e["step"]["loss"]) for e in events if "step" in e]

    def assert_same_losses(self, steps, reference):
        worst = max(abs(loss - reference[step]) for step, loss in steps if step <= COMPARED)
        print(f"losses differ by {worst:.1e} at most", flush=True)
        self.assertLess(worst, ROUNDING)

    def test_fewer_workers_and_all_again(self):
        self.submit("reference")
        reference = self.cluster.losses("reference")

        with self.subTest("it finishes on one"):
            self.submit("weak")
            self.lose_a_worker("weak", "worker-1")
            steps = self.finish("weak")
            self.assertEqual({step for step, _ in steps}, set(range(1, STEPS + 1)))
            self.assert_same_losses(steps, reference)
            self.assertEqual(self.cluster.status("weak")["workers"], 1)

        with self.subTest("it takes a second one again"):
            self.submit("strong")
            self.cluster.add_member("model", "worker-2")  # The first start waits for both.
            self.lose_a_worker("strong", "worker-2")
            before = int(self.cluster.status("strong")["step"])
            self.cluster.add_member("model", "worker-3")
            self.await_workers("strong", 2)
            self.assertEqual(self.strength("strong"), ("CONDITION_STATUS_TRUE", "2 of 2 workers"))
            steps = self.finish("strong")
            self.assert_same_losses(steps, reference)
            last = [step for step, _ in steps]
            begun = len(last) - 1 - last[::-1].index(before + 1)
            self.assertEqual(last[begun:], list(range(before + 1, STEPS + 1)),
                             "no step was lost when the second one came")

        codes = self.cluster.stop()
        self.assertEqual(set(codes.values()), {0}, codes)


if __name__ == "__main__":
    unittest.main()
