"""`rally profile` and the simulator predict what a real job then takes."""

import json
import os
import statistics
import unittest

from cluster import Cluster, merged, run_rally, write_job

# Tokens of the documents that fill a step, over and over: one long, some short.
STEP_LENGTHS = (1400, 90, 300, 60, 700, 180, 500, 120, 746)
STEPS = 12
WARM_UP = 4  # Steps that touch memory for the first time.
CLOSE = 0.15
# Two in place wait for each other in every phase, so what disturbs either on a shared machine
# delays both. A profile, taken of each by itself, does not show it.
CLOSE_IN_PLACE = 0.25
# The machine may be shared, so profile and job are measured in turn, and their medians compared.
FEWEST_PAIRS = 3
MOST_PAIRS = 9


def make_dataset(directory):
    """Documents whose tokens, one a byte and one for the end, fill each step of 4,096 exactly."""
    assert sum(STEP_LENGTHS) == 4096
    path = os.path.join(directory, "equal-steps.jsonl")
    with open(path, "w") as file:
        for _ in range(4 * STEPS):
            for length in STEP_LENGTHS:
                text = ("a quick fox " * length)[:length - 1]  # And the end of the document.
                file.write(json.dumps({"text": text}) + "\n")
    output = os.path.join(directory, "dataset")
    result = run_rally("data", "prepare", path, "--output", output)
    if result.returncode != 0:
        raise RuntimeError(result.stderr)
    return output


def job(dataset):
    return {
        "model": {"layers": 3, "hidden_size": 256, "feed_forward_size": 704, "heads": 4,
                  "kv_heads": 2, "head_dim": 64},
        "data": {"path": dataset, "shuffle": False, "validation_fraction": 0},
        "batch": {"chunk_tokens": 4096, "chunks": 1, "max_document_tokens": 4096},
        "training": {"steps": STEPS},
        "workers": 1,
        "attention": {"dedicated": 1},
    }


class PredictionTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(workers=2, attention_servers=1).__enter__()
        cls.addClassCleanup(cls.cluster.__exit__, None, None, None)
        cls.dataset = make_dataset(cls.cluster.directory)

    def predicted(self, path, profile):
        result = run_rally("profile", path, "--quick", "--threads=1", "--output", profile)
        self.assertEqual(result.returncode, 0, result.stderr)
        plan = run_rally("plan", path, "--profile", profile, "--json")
        self.assertEqual(plan.returncode, 0, plan.stderr)
        return json.loads(plan.stdout)["forecast"]["step_seconds"]

    def measured(self, name, spec):
        self.cluster.submit(name, spec)
        seconds = [float(event["step"]["duration"].rstrip("s"))
                   for event in self.cluster.events(name) if "step" in event]
        self.assertEqual(len(seconds), STEPS)
        return statistics.median(seconds[WARM_UP:])

    def check(self, name, close=CLOSE, **changes):
        spec = merged(job(self.dataset), changes)
        path = write_job(self.cluster.path(name + ".yaml"), spec)
        predicted, measured = [], []
        for pair in range(MOST_PAIRS):
            predicted.append(self.predicted(path, self.cluster.path(f"{name}-{pair}.profile")))
            measured.append(self.measured(f"{name}-{pair}", spec))
            ratio = statistics.median(measured) / statistics.median(predicted)
            print(f"{name}: predicted {predicted[-1]:.4f} s, measured {measured[-1]:.4f} s; "
                  f"medians so far {ratio:.3f}")
            if pair + 1 >= FEWEST_PAIRS and abs(ratio - 1) <= close:
                return
        self.fail(f"{name}: measured {measured} s, predicted {predicted} s")

    def test_one_worker(self):
        self.check("local", attention={"dedicated": 0})

    def test_a_worker_and_a_server(self):
        self.check("dedicated")

    def test_two_workers_in_place(self):
        self.check("in-place", CLOSE_IN_PLACE, batch={"chunk_tokens": 2048, "chunks": 2},
                   workers=2, attention={"dedicated": 0, "in_place": True})


if __name__ == "__main__":
    unittest.main()
