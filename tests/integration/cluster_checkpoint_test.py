"""Checkpoints of real processes: bad disks, kills, damage, other numbers of workers."""

import os
import random
import subprocess
import time
import unittest

from cluster import Cluster, await_condition, make_dataset, merged, small_job, write_job

STEPS = 60
ENDLESS = 1000000
BLOCK = 4096  # Bytes that a disk writes whole.


def condition(status, kind="CheckpointSaved"):
    found = [c for c in status.get("conditions", []) if c["type"] == kind]
    return found[0] if found else {"status": "", "reason": "", "message": ""}


def contents(directory):
    """Every file below it: its bytes by its path."""
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                found[os.path.join(folder, name)] = file.read()
    return found


def mount(*arguments):
    return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0


class CheckpointTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(workers=3).__enter__()
        cls.addClassCleanup(cls.cluster.__exit__, None, None, None)
        cls.base = merged(small_job(make_dataset(cls.cluster.directory)), {
            "batch": {"chunk_tokens": 128, "chunks": 6},
            "training": {"steps": STEPS},
            "deterministic": True,
            "attention": {"in_place": True},
        })

    def job(self, directory, workers=2, steps=STEPS, **checkpoint):
        return merged(self.base, {
            "workers": workers, "training": {"steps": steps},
            "checkpoint": {"directory": directory, **checkpoint}})

    def await_saved(self, job_id, status, reason):
        def reached():
            found = condition(self.cluster.status(job_id))
            return found["status"] == status and found["reason"] == reason

        await_condition(reached, f"{job_id}: CheckpointSaved is {status}, {reason}")

    def await_progress(self, job_id):
        step = int(self.cluster.status(job_id)["step"])
        self.cluster.await_step(job_id, step + 3)

    def cancel(self, job_id):
        """Stops it in peace; the step it stands at."""
        self.cluster.rally("cancel", job_id)
        self.cluster.events(job_id)
        return int(self.cluster.await_phase(job_id, "cancelled")["step"])

    def test_a_full_and_a_read_only_disk(self):
        disk = self.cluster.path("disk")
        os.mkdir(disk)
        if os.geteuid() != 0 or not mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", disk):
            self.skipTest("mounting a small disk takes root")
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=True)
        directory = os.path.join(disk, "checkpoints")
        self.cluster.submit("disk", self.job(directory, steps=ENDLESS, every=2, keep=2))
        self.await_saved("disk", "CONDITION_STATUS_TRUE", "Saved")

        ballast = os.path.join(disk, "ballast")
        with open(ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(65536))
            except OSError:
                pass
        self.await_saved("disk", "CONDITION_STATUS_FALSE", "DiskFull")
        status = self.cluster.status("disk")
        self.assertIn(directory, condition(status)["message"])
        self.assertTrue(os.path.exists(status["checkpoint"]), "the last good one stays")
        self.await_progress("disk")
        os.unlink(ballast)
        self.await_saved("disk", "CONDITION_STATUS_TRUE", "Saved")

        await_condition(lambda: mount("-o", "remount,ro", disk), "nobody writes for a moment")
        self.await_saved("disk", "CONDITION_STATUS_FALSE", "ReadOnly")
        self.await_progress("disk")
        self.assertTrue(mount("-o", "remount,rw", disk))
        self.await_saved("disk", "CONDITION_STATUS_TRUE", "Saved")

        stopped = self.cancel("disk")
        self.cluster.submit("disk-resumed",
                            self.job(directory, workers=3, steps=stopped + 2, resume=True))
        self.assertEqual(sorted(self.cluster.losses("disk-resumed")), [stopped + 1, stopped + 2])

    def test_a_disk_that_stays_full_fails_the_job(self):
        disk = self.cluster.path("tiny-disk")
        os.mkdir(disk)
        if os.geteuid() != 0 or not mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", disk):
            self.skipTest("mounting a small disk takes root")
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=True)
        self.cluster.submit("too-small", self.job(disk, steps=5, every=2))
        self.cluster.events("too-small")
        status = self.cluster.status("too-small")
        self.assertEqual(status["phase"], "JOB_PHASE_FAILED")
        self.assertEqual(condition(status, "Completed")["reason"], "DiskFull")
        self.assertIn("No space left on device", condition(status, "Completed")["message"])
        self.assertEqual(int(status.get("restarts", 0)), 0)

    def test_another_number_of_workers_goes_on(self):
        self.cluster.submit("whole", self.job(self.cluster.path("whole")))
        whole = self.cluster.losses("whole")
        directory = self.cluster.path("cut")
        self.cluster.submit("cut", self.job(directory))
        self.cluster.await_step("cut", 5)
        stopped = self.cancel("cut")
        self.assertLess(stopped, STEPS)
        for workers in (1, 3, 2):
            with self.subTest(workers=workers):
                name = f"on-{workers}"
                # Each from the same place: the newest of the ones before is not there.
                copy = self.cluster.path(name)
                subprocess.run(["cp", "-r", directory, copy], check=True)
                self.cluster.submit(name, self.job(copy, workers=workers, resume=True))
                losses = self.cluster.losses(name)
                self.assertEqual(sorted(losses), list(range(stopped + 1, STEPS + 1)))
                for step, loss in losses.items():
                    self.assertAlmostEqual(loss, whole[step], delta=1e-3 * whole[step])
                if workers == 2:
                    self.assertEqual(self.cluster.checksum(name), self.cluster.checksum("whole"))

    def test_damage_is_passed_over(self):
        directory = self.cluster.path("damaged")
        self.cluster.submit("damaged", self.job(directory, steps=ENDLESS, every=3))
        self.cluster.await_step("damaged", 12)
        stopped = self.cancel("damaged")
        newest = os.path.join(directory, f"step-{stopped:08d}")
        os.truncate(os.path.join(newest, "optimizer-00002-of-00002.safetensors"), 4096)
        older = max(int(name[5:]) for name in os.listdir(directory)
                    if name[5:].isdigit() and int(name[5:]) < stopped)
        self.cluster.submit("passed-over", self.job(directory, steps=stopped + 5, resume=True))
        events = self.cluster.events("passed-over")
        steps = [int(e["step"]["step"]) for e in events if "step" in e]
        self.assertEqual(steps, list(range(older + 1, stopped + 6)))
        said = [condition(e["status"]) for e in events if "status" in e]
        damage = [c for c in said if c["reason"] == "Damaged"]
        self.assertTrue(damage, said)
        self.assertIn("optimizer-00002-of-00002.safetensors is damaged", damage[0]["message"])
        self.assertTrue(os.path.exists(newest + ".damaged"))

    def test_a_torn_dataset(self):
        directory = self.cluster.path("torn-checkpoints")
        self.cluster.submit("good", self.job(directory, steps=4))
        self.cluster.events("good")
        kept = contents(directory)
        self.assertTrue(kept)
        torn = make_dataset(self.cluster.directory, "torn")
        tokens = os.path.join(torn, "tokens.bin")
        with open(tokens, "rb") as file:
            whole = file.read()
        spec = merged(self.job(directory, steps=ENDLESS, resume=True), {"data": {"path": torn}})
        for end in range(0, len(whole), BLOCK):
            with self.subTest(end=end):
                # What was never written to the disk is zero.
                with open(tokens, "wb") as file:
                    file.write(whole[:end].ljust(len(whole), b"\0"))
                name = f"torn-{end // BLOCK}"
                submitted = self.cluster.rally(
                    "submit", write_job(self.cluster.path(name + ".yaml"), spec), "--id", name,
                    check=False)
                message = submitted.stderr
                if submitted.returncode == 0:  # The index is whole.
                    self.cluster.events(name)
                    status = self.cluster.await_phase(name, "failed")
                    self.assertEqual(condition(status, "Completed")["reason"], "DataLoss")
                    self.assertEqual(int(status.get("restarts", 0)), 0)
                    message = condition(status, "Completed")["message"]
                self.assertIn("data.path", message)
                self.assertIn("tokens.bin: expected", message)
                self.assertEqual(contents(directory), kept)

    def test_whoever_is_killed_while_one_is_written(self):
        self.cluster.submit("undisturbed", self.job(self.cluster.path("undisturbed")))
        self.cluster.events("undisturbed")
        reference = self.cluster.checksum("undisturbed")
        directory = self.cluster.path("killed")
        spec = merged(self.job(directory, every=1, keep=2), {"max_restarts": 100})
        self.cluster.submit("killed", spec)
        source = random.Random(3)
        for number in range(8):
            status = self.cluster.await_phase("killed", "running", "succeeded")
            if status["phase"] == "JOB_PHASE_SUCCEEDED":
                break
            time.sleep(source.uniform(0.0, 0.2))
            victim = source.choice([n for n in self.cluster.members if n.startswith("worker")])
            self.cluster.members.pop(victim).kill()
            self.cluster.add_member("model", f"worker-new-{number}")
        events = self.cluster.events("killed")
        self.assertEqual(self.cluster.checksum("killed"), reference)
        self.assertFalse([e for e in events if "status" in e
                          and condition(e["status"])["reason"] == "Damaged"])
        left = sorted(os.listdir(directory))
        self.assertEqual(left[-1], f"step-{STEPS:08d}")
        self.assertFalse([name for name in left if "partial" in name], left)


if __name__ == "__main__":
    unittest.main()
