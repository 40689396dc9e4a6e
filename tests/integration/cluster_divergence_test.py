"""A job that diverges fails, says at which step, and leaves checkpoints one can go on from."""

import array
import json
import os
import shutil
import struct
import unittest

from cluster import Cluster, make_dataset, merged, small_job

FAILURE = 1

# Accepted and absurd: weights grow many times over at every step, until a gradient overflows.
ABSURD = [{"weight_decay": 1}, {"weight_decay": 10}]


def job(dataset, directory, optimizer, **training):
    return merged(small_job(dataset), {
        "optimizer": {"learning_rate": 10, "gradient_clip": 0, "warmup_steps": 0, **optimizer},
        "attention": {"in_place": True}, "training": {"steps": 60, **training},
        "checkpoint": {"directory": directory, "every": 1, "keep": 60}})


def numbers_of(path):
    """All numbers of a safetensors file of float32 tensors."""
    with open(path, "rb") as file:
        header_size, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(header_size))
        header.pop("__metadata__", None)
        assert {tensor["dtype"] for tensor in header.values()} == {"F32"}, path
        return array.array("f", file.read())


class DivergenceTest(unittest.TestCase):

    def check_failed(self, cluster, name):
        """Its status, its message and what the command line shows; the steps it committed."""
        watch = cluster.rally("watch", name, check=False)
        self.assertEqual(watch.returncode, FAILURE, watch.stderr)
        status = cluster.status(name)
        self.assertEqual(status["phase"], "JOB_PHASE_FAILED")
        steps = int(status["step"])
        self.assertRegex(json.dumps(status),
                         rf"OUT_OF_RANGE: training diverged: the (loss|gradient norm) of step "
                         rf"{steps + 1} is [^;]+; lower optimizer.learning_rate")
        listed = json.loads(cluster.rally("list").stdout)
        self.assertIn("JOB_PHASE_FAILED", json.dumps(listed))
        return steps

    def check_checkpoints(self, directory, steps):
        names = sorted(os.listdir(directory))
        # One that falls due while another is being written comes a step later.
        self.assertLessEqual(set(names), {f"step-{step:08}" for step in range(1, steps + 1)})
        self.assertEqual(names[0], "step-00000001")
        for name in names:
            files = [file for file in os.listdir(os.path.join(directory, name))
                     if file.endswith(".safetensors")]
            self.assertEqual(len(files), 4, "the shares of two workers")
            for file in files:
                numbers = numbers_of(os.path.join(directory, name, file))
                self.assertGreater(len(numbers), 0)
                # A sum of magnitudes, in double, is finite when all of them are.
                self.assertLess(sum(map(abs, numbers)), float("inf"), f"{name} {file}")

    def test_an_absurd_learning_rate(self):
        with Cluster(workers=2) as cluster:
            dataset = make_dataset(cluster.directory)
            for index, optimizer in enumerate(ABSURD):
                name, directory = f"absurd-{index}", cluster.path(f"checkpoints-{index}")
                cluster.submit(name, job(dataset, directory, optimizer))
                steps = self.check_failed(cluster, name)
                self.assertGreater(steps, 0, "the first step is an ordinary one")
                self.check_checkpoints(directory, steps)
            # From before the weights were lost, at an ordinary rate.
            for step in range(2, steps + 1):
                shutil.rmtree(os.path.join(directory, f"step-{step:08}"), ignore_errors=True)
            again = merged(job(dataset, directory, {"learning_rate": 1e-3}, steps=4),
                           {"checkpoint": {"resume": True}})
            cluster.submit("again", again)
            self.assertEqual(sorted(cluster.losses("again")), [2, 3, 4])


if __name__ == "__main__":
    unittest.main()
