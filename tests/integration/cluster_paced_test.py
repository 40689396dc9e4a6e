"""Paced jobs of 16 workers, with and without pipeline stages, take the time the simulator says."""

import json
import os
import random
import statistics
import subprocess
import tempfile
import unittest

from cluster import Cluster, merged, run_rally, write_job

PROFILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "emulated.profile")
TIME_SCALE = 10  # Makes a phase of 3 ms one of 30 ms: long beside what two cores take to switch.
STEP_TOLERANCE = 0.10   # Relative.
SHARE_TOLERANCE = 0.10  # Absolute.
ACTIVITIES = ("linear", "attention", "tensor_parallel", "update", "imbalance", "communication",
              "bubble", "reduction")

IN_PLACE = {"attention": {"in_place": True}}
JOBS = {
    "local": {},
    "in-place": IN_PLACE,
    "dedicated": {"workers": 14, "attention": {"dedicated": 2}, "batch": {"chunks": 14},
                  "model": {"layers": 2}},
    "stages": merged(IN_PLACE, {"paced": {"stages": 4}}),
}


def heavy_tailed_dataset(directory):
    source = random.Random(3)
    lengths = [max(2, min(4096, int(source.lognormvariate(6.0, 1.2)))) for _ in range(400)]
    path = os.path.join(directory, "dataset")
    subprocess.run([os.environ["RALLY_TEST_DATASET"], path, *map(str, lengths)], check=True)
    return path


def paced_job(dataset):
    return {
        "model": {"layers": 4, "hidden_size": 256, "feed_forward_size": 704, "heads": 4,
                  "kv_heads": 2, "head_dim": 64},
        "data": {"path": dataset},
        "batch": {"chunk_tokens": 2048, "chunks": 16, "max_document_tokens": 4096},
        "training": {"steps": 4},
        "workers": 16,
        "paced": {"profile": PROFILE, "time_scale": TIME_SCALE},
    }


class Result:
    """A paced job's steps but the first: medians of their times, means of their shares."""

    def __init__(self, events):
        steps = [event["step"]["paced"] for event in events if "step" in event][1:]
        self.step = statistics.median(step["step_seconds"] for step in steps)
        self.predicted = statistics.median(step["predicted_step_seconds"] for step in steps)
        ratios = [step["step_seconds"] / step["predicted_step_seconds"] for step in steps]
        self.ratio = statistics.median(ratios)
        self.shares = self.mean(steps, "shares")
        self.predicted_shares = self.mean(steps, "predicted_shares")
        differences = {name: abs(self.shares[name] - self.predicted_shares[name])
                       for name in ACTIVITIES}
        self.worst = max(differences, key=differences.get)
        self.difference = differences[self.worst]

    @staticmethod
    def mean(steps, shares):
        return {name: statistics.mean(step[shares][index] for step in steps)
                for index, name in enumerate(ACTIVITIES)}

    def agrees(self):
        return abs(self.ratio - 1) <= STEP_TOLERANCE and self.difference <= SHARE_TOLERANCE

    def __str__(self):
        table = "\n".join(f"    {name:<16} {self.shares[name]:6.3f} {share:6.3f}"
                          for name, share in self.predicted_shares.items() if share > 0)
        return (f"step {self.step:.4f} s, simulated {self.predicted:.4f} s, ratio {self.ratio:.3f}"
                f"; {self.worst} differs by {self.difference:.3f}\n{table}")


class PacedTest(unittest.TestCase):

    def test_agrees_with_the_simulator(self):
        results = {}
        with Cluster(workers=16, attention_servers=2) as cluster:
            base = paced_job(heavy_tailed_dataset(cluster.directory))
            for name, changes in JOBS.items():
                # A machine that is busy with other work for a while gets a second chance.
                for attempt in range(2):
                    job = f"{name}-{attempt}"
                    cluster.submit(job, merged(base, changes))
                    events = cluster.events(job)
                    cluster.await_phase(job, "succeeded")
                    results[name] = Result(events)
                    if results[name].agrees():
                        break
            codes = cluster.stop()
        print()
        for name, result in results.items():
            print(f"{name}: {result}")
        for name, result in results.items():
            self.assertTrue(result.agrees(), name)
        # What the emulation is for: a pool pays, a pipeline of few micro-batches has a bubble.
        self.assertLess(results["in-place"].step, 0.9 * results["local"].step)
        self.assertGreater(results["stages"].shares["bubble"], 0.1)
        self.assertEqual(set(codes.values()), {0}, codes)

    def test_flags_make_a_job_paced(self):
        with tempfile.TemporaryDirectory() as directory:
            spec = merged(paced_job(heavy_tailed_dataset(directory)), {
                "workers": 2, "batch": {"chunks": 2, "max_document_tokens": 2048},
                "training": {"steps": 2}})
            del spec["paced"]
            job = write_job(os.path.join(directory, "job.yaml"), spec)
            flags = ["--paced", PROFILE]
            result = run_rally("run", job, "--json", *flags, "--paced-time-scale", "4",
                               "--paced-message-scale", "1", "--paced-stages", "2")
            self.assertEqual(result.returncode, 0, result.stderr)
            summary = json.loads(result.stdout)
            self.assertEqual((summary["state"], summary["steps"]), ("succeeded", 2))
            paced = summary["paced"]
            self.assertEqual(set(paced["shares"]), set(ACTIVITIES))
            self.assertGreater(paced["shares"]["bubble"], 0)
            self.assertGreater(paced["ratio"], 0.95)  # Nothing is faster than its model.
            for flags, message in (
                    (["--paced-stages", "2"], "--paced"),
                    (["--paced", os.path.join(directory, "missing")], "--paced"),
                    ([*flags, "--paced-stages", "3"], "paced.stages"),
                    ([*flags, "--paced-time-scale", "0"], "paced.time_scale")):
                result = run_rally("run", job, *flags)
                self.assertNotEqual(result.returncode, 0, flags)
                self.assertIn(message, result.stderr)


if __name__ == "__main__":
    unittest.main()
