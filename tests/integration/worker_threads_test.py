"""A worker's idle OpenMP threads soon sleep, so that the attention kernel's have the cores."""

import os
import subprocess
import unittest

from cluster import await_condition, die_with_parent, program

SPINS = "GOMP_SPINCOUNT"
POLICY = "OMP_WAIT_POLICY"


class WorkerThreadsTest(unittest.TestCase):
    def environment_of_worker(self, threads, **variables):
        """That a worker without a coordinator computes in."""
        environment = {name: value for name, value in os.environ.items()
                       if name not in (POLICY, SPINS)}
        worker = subprocess.Popen(
            [program("rally-worker"), "--role=model", "--coordinator=127.0.0.1:9",
             f"--threads={threads}"],
            env={**environment, **variables}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        try:
            return await_condition(lambda: self.settled_environment(worker.pid), "a worker")
        finally:
            worker.kill()
            worker.wait(10)

    @staticmethod
    def settled_environment(pid):
        """Once it has its handlers of signals, which it takes last."""
        with open(f"/proc/{pid}/status") as file:
            status = dict(line.split(":", 1) for line in file)
        blocked = int(status["SigBlk"], 16)
        if status["Name"].strip() != "rally-worker" or not blocked & 1 << 14:  # SIGTERM.
            return None
        with open(f"/proc/{pid}/environ") as file:
            return dict(entry.split("=", 1) for entry in file.read().split("\0") if "=" in entry)

    def test_idle_threads_soon_sleep_where_there_are_several(self):
        self.assertEqual("10000", self.environment_of_worker(2).get(SPINS))
        self.assertNotIn(SPINS, self.environment_of_worker(1))

    def test_a_choice_that_was_made_stays(self):
        self.assertEqual("5", self.environment_of_worker(2, GOMP_SPINCOUNT="5")[SPINS])
        self.assertNotIn(SPINS, self.environment_of_worker(2, OMP_WAIT_POLICY="active"))


if __name__ == "__main__":
    unittest.main()
