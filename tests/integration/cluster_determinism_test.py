"""The same job is the same, bit for bit: run twice, or stopped and resumed."""

import unittest

from cluster import Cluster, await_condition, make_dataset, merged, small_job

STEPS = 60


class DeterminismTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(workers=2, attention_servers=1).__enter__()
        cls.addClassCleanup(cls.cluster.__exit__, None, None, None)
        cls.base = merged(small_job(make_dataset(cls.cluster.directory)), {
            "training": {"steps": STEPS},
            "deterministic": True,
            "attention": {"dedicated": 1, "in_place": True},
            "checkpoint": {"every": 30},
        })
        cls.cluster.submit("whole", cls.job("whole"))
        cls.cluster.events("whole")
        cls.whole = cls.cluster.checksum("whole")

    @classmethod
    def job(cls, directory, **changes):
        checkpoint = {"directory": cls.cluster.path(directory), **changes}
        return merged(cls.base, {"checkpoint": checkpoint})

    def run_job(self, name, spec):
        self.cluster.submit(name, spec)
        losses = self.cluster.losses(name)
        return self.cluster.checksum(name), losses

    def test_twice_the_same(self):
        checksum, losses = self.run_job("twice", self.job("twice"))
        self.assertEqual(checksum, self.whole)
        self.assertEqual(losses, self.cluster.losses("whole"))

    def test_stopped_at_once_and_resumed_from_step_30(self):
        self.cluster.submit("cut", self.job("cut"))
        await_condition(lambda: self.cluster.status("cut").get("checkpoint"),
                        "the checkpoint of step 30 is on disk")
        self.cluster.rally("cancel", "cut", "--grace", "0s")
        status = self.cluster.await_phase("cut", "cancelled")
        self.assertLess(int(status["step"]), STEPS, "it was to be stopped under way")
        checksum, losses = self.run_job("cut-resumed", self.job("cut", resume=True))
        self.assertEqual(min(losses), 31, "it continues after the checkpoint of step 30")
        self.assertEqual(max(losses), STEPS)
        self.assertEqual(checksum, self.whole)

    def test_stopped_in_peace_and_resumed_where_it_stood(self):
        self.cluster.submit("peace", self.job("peace"))
        self.cluster.await_step("peace", 5)
        self.cluster.rally("cancel", "peace")
        self.cluster.events("peace")
        stopped = int(self.cluster.await_phase("peace", "cancelled")["step"])
        self.assertLess(stopped, STEPS)
        checksum, losses = self.run_job("peace-resumed", self.job("peace", resume=True))
        self.assertEqual(min(losses), stopped + 1)
        self.assertEqual(checksum, self.whole)

    def test_another_seed_gives_other_weights(self):
        other = merged(self.job("other"), {"training": {"steps": 60, "seed": 2}})
        checksum, _ = self.run_job("other", other)
        self.assertNotEqual(checksum, self.whole)


if __name__ == "__main__":
    unittest.main()
