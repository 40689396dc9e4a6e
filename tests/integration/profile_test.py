"""`rally profile` measures this machine and writes a whole profile, or nothing."""

import json
import os
import signal
import subprocess
import tempfile
import unittest

from cluster import await_condition, die_with_parent, program, run_rally, small_job, write_job

TIMED = ("linear", "head")
DIRECTIONS = ("forward", "backward")
LINKS = ("same-process", "same-node", "across-nodes")


def records(text):
    """Fields of every record after the version line, by record."""
    lines = text.splitlines()
    assert lines[0] == "rally-profile 1", lines[0]
    result = {}
    for line in lines[1:]:
        keyword, *fields = line.split()
        result.setdefault(keyword, []).append(fields)
    return result


def descendants():
    """Command lines of processes that measure."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                line = file.read()
        except OSError:
            continue
        if b"--role=profile" in line:
            found.append(line)
    return found


class ProfileTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="rally-profile-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def job(self, **model):
        spec = small_job("none")
        spec["model"].update(model)
        return write_job(self.path("job.yaml"), spec)

    def test_measures_the_jobs_model(self):
        output = self.path("here.profile")
        result = run_rally("profile", self.job(vocabulary=300), "--quick", "--threads=1",
                           "--name=here", "--across-nodes=1e9", "--output", output, "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(json.loads(result.stdout), {"name": "here", "output": output})
        self.assertIn("measuring core attention", result.stderr)
        with open(output) as file:
            profile = records(file.read())
        self.assertEqual(profile["name"], [["here"]])
        self.assertEqual(profile["attention-shape"], [["4", "2", "32"]])
        self.assertEqual(profile["head-parameters"], [[str(64 * 300)]])
        for keyword in TIMED:
            for direction in DIRECTIONS:
                seconds = [float(f[2]) for f in profile[keyword] if f[0] == direction]
                self.assertTrue(seconds and min(seconds) > 0, (keyword, direction))
        for direction in DIRECTIONS:
            rates = [float(f[3]) for f in profile["attention"] if f[0] == direction]
            self.assertGreater(min(rates), 1e5)  # Pairs per second; any machine does more.
            self.assertLess(max(rates), 1e12)
        for link in LINKS:
            seconds = [float(f[2]) for f in profile["transfer"] if f[0] == link]
            self.assertEqual(seconds, sorted(seconds))
        nodes = [[float(x) for x in f[1:]] for f in profile["transfer"] if f[0] == "across-nodes"]
        (few, floor), (many, slow) = nodes
        self.assertAlmostEqual((many - few) / (slow - floor), 1e9, delta=1e3)

    def test_bad_input_is_said_before_anything_is_measured(self):
        for arguments, code, message in (
            ((self.job(),), 2, "model.vocabulary: is not set"),
            ((self.path("none.yaml"),), 1, "none.yaml"),
            (("--quick", "--output", self.path("no/where.profile")), 1, "there is no folder"),
            (("--name", "two words"), 2, "is not one word"),
            (("--across-nodes", "-1"), 2, "--across-nodes"),
        ):
            result = run_rally("profile", *arguments)
            self.assertEqual(result.returncode, code, result.stderr)
            self.assertIn(message, result.stderr)
            self.assertNotIn("measuring", result.stderr)

    def test_interrupted_it_leaves_nothing(self):
        output = self.path("cut.profile")
        process = subprocess.Popen(
            [program("rally"), "profile", self.job(vocabulary=300), "--threads=1", "-o", output],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            preexec_fn=die_with_parent)
        with process:
            self.assertIn("measuring", process.stderr.readline())
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(30), 143)
        self.assertEqual(os.listdir(self.folder), ["job.yaml"])
        await_condition(lambda: not descendants(), "the measuring processes end")


if __name__ == "__main__":
    unittest.main()
