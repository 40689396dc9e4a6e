"""However core attention is spread, the same job has the same losses."""

import unittest

from cluster import Cluster, make_dataset, merged, small_job

TOLERANCE = 1e-5  # Relative, at every step.

DEDICATED = {"attention": {"dedicated": 2}}
IN_PLACE = {"attention": {"in_place": True}}
MIXED = {"attention": {"dedicated": 1, "in_place": True}}
# Documents of up to two chunks, so that some have homes on both workers.
LONG = {"batch": {"chunk_tokens": 128, "chunks": 4, "max_document_tokens": 256}}
WINDOW = {"model": {"sliding_window": 100}}

# By group: the reference first; the others are compared with it.
GROUPS = {
    "one": [
        ("one worker, local", {"workers": 1}),
        ("two workers, local", {}),
        ("two dedicated servers", DEDICATED),
        ("in place", IN_PLACE),
        ("one dedicated, in place", MIXED),
        ("in place, no ping-pong", merged(IN_PLACE, {"training": {"ping_pong": False}})),
    ],
    "long": [
        ("long documents, local", LONG),
        ("long documents, two dedicated", merged(LONG, DEDICATED)),
        ("long documents, in place", merged(LONG, IN_PLACE)),
        ("long documents, mixed", merged(LONG, MIXED)),
    ],
    "window": [
        ("sliding window, local", WINDOW),
        ("sliding window, two dedicated", merged(WINDOW, DEDICATED)),
        ("sliding window, in place", merged(WINDOW, IN_PLACE)),
    ],
}


def cpu_has(*features):
    """Whether this machine's CPU has all of these, by the names Linux gives them."""
    with open("/proc/cpuinfo") as file:
        flags = [line.split(":")[1].split() for line in file if line.startswith("flags")]
    return bool(flags) and set(features) <= set(flags[0])


def largest_difference(losses, reference):
    return max(abs(losses[step] - reference[step]) / abs(reference[step]) for step in reference)


class ParityTest(unittest.TestCase):

    def test_losses_agree_at_every_step(self):
        with Cluster(workers=2, attention_servers=2) as cluster:
            base = small_job(make_dataset(cluster.directory))
            for group, jobs in GROUPS.items():
                for index, (_, changes) in enumerate(jobs):
                    cluster.submit(f"{group}-{index}", merged(base, changes))
            rows = []
            for group, jobs in GROUPS.items():
                steps = merged(base, jobs[0][1])["training"]["steps"]
                reference = cluster.losses(f"{group}-0")
                self.assertEqual(sorted(reference), list(range(1, steps + 1)))
                self.assertLess(reference[steps], reference[1] - 0.3, "the job learns")
                for index, (name, _) in enumerate(jobs):
                    losses = cluster.losses(f"{group}-{index}")
                    self.assertEqual(sorted(losses), sorted(reference), name)
                    rows.append((name, losses[1], losses[steps],
                                 largest_difference(losses, reference)))
            codes = cluster.stop()
        header = ("job", "first loss", "last loss", "largest relative difference")
        print("\n{:<32} {:>10} {:>10} {:>28}".format(*header))
        for name, first, last, difference in rows:
            print(f"{name:<32} {first:>10.6f} {last:>10.6f} {difference:>28.2e}")
        for name, _, _, difference in rows:
            self.assertLessEqual(difference, TOLERANCE, name)
        self.assertEqual(set(codes.values()), {0}, codes)

    @unittest.skipUnless(cpu_has("avx2", "fma"), "this CPU has no AVX2")
    def test_losses_agree_whatever_a_member_computes_with(self):
        names = ("worker-0", "worker-1", "attention-0")
        losses = []
        for sets in (("portable",) * 3, ("portable", "avx2", "avx2")):
            with Cluster() as cluster:
                for name, instruction_set in zip(names, sets):
                    cluster.add_member("model" if "worker" in name else "attention", name,
                                       f"--instruction-set={instruction_set}")
                job = small_job(make_dataset(cluster.directory))
                cluster.submit("job", merged(job, merged(MIXED, {"training": {"steps": 20}})))
                losses.append(cluster.losses("job"))
                logs = [cluster.members[name].log() for name in names]
            for instruction_set, log in zip(sets, logs):
                self.assertIn(f"attention kernel: {instruction_set};", log)
        self.assertEqual(len(losses[0]), 20)
        self.assertNotEqual(losses[0], losses[1], "the instruction set makes no difference")
        self.assertLessEqual(largest_difference(losses[1], losses[0]), TOLERANCE)


if __name__ == "__main__":
    unittest.main()
