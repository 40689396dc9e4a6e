"""An attention server's kernel hangs while its heartbeats go on: the job goes on without it, and
takes it back when it has come to."""

import unittest

from cluster import Cluster, await_condition, make_dataset, merged, small_job
from frozen_thread import FrozenThread

STEPS = 60
TOLERANCE = 1e-5


class TwoThreads(Cluster):
    member_flags = ("--threads=2",)


class HangTest(unittest.TestCase):

    def setUp(self):
        self.cluster = TwoThreads(workers=1, attention_servers=2).__enter__()
        self.addCleanup(lambda: self.cluster.__exit__(None, None, None))
        self.spec = merged(small_job(make_dataset(self.cluster.directory)), {
            "workers": 1,
            "training": {"steps": STEPS},
            "attention": {"dedicated": 2, "in_place": False},
        })

    def changes(self):
        return int(self.cluster.status("hang").get("pool_changes", 0))

    def test_a_kernel_that_hangs(self):
        self.cluster.submit("calm", self.spec)
        expected = self.cluster.losses("calm")
        self.cluster.submit("hang", self.spec)
        self.cluster.await_step("hang", 5)
        server = self.cluster.members["attention-0"]
        try:
            frozen = FrozenThread(server.popen.pid, "rally-kernel")
        except PermissionError as error:
            self.skipTest(f"threads can not be stopped here: {error}")
        self.addCleanup(frozen.let_go)
        await_condition(lambda: self.changes() == 1, "the pool changes")
        self.assertIn("core attention has not returned", server.log())
        self.cluster.await_step("hang", 10)
        frozen.let_go()
        await_condition(lambda: self.cluster.condition("hang", "AttentionPoolComplete"),
                        "the server takes part again")
        found = self.cluster.losses("hang")
        status = self.cluster.status("hang")
        self.assertEqual(int(status.get("restarts", 0)), 0, status)
        self.assertEqual(list(found), list(range(1, STEPS + 1)))
        for step, loss in found.items():
            self.assertLessEqual(abs(loss - expected[step]) / expected[step], TOLERANCE, step)


if __name__ == "__main__":
    unittest.main(verbosity=2)
