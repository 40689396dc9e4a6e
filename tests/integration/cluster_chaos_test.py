"""`rally chaos` strikes a real job: what it reports is what happened, and the job succeeds.

RALLY_KILLS sets the number of kills (4).
"""

import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import unittest

from cluster import (PATIENCE, Cluster, Process, await_condition, die_with_parent,
                     make_dataset, merged, program, small_job)

KILLS = int(os.environ.get("RALLY_KILLS", "4"))
ENDLESS = 1000000  # Steps of a job that is cancelled.
LONGEST = 10.0  # Seconds in which a job goes on after any of these faults.
TOLERANCE = 1e-4  # Of losses: another order of sums, over some hundred steps.
PR_SET_CHILD_SUBREAPER = 36


def children_left():
    """Processes that were given to this one when their parents ended."""
    with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]


def state_of(pid):
    """One letter, as ps shows it; T is stopped."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


def run(*command):
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)


def permitted(*command):
    """Whether a command works here."""
    return subprocess.run(command, capture_output=True, timeout=PATIENCE).returncode == 0


# Namespaces of their own undo what these do.
MAY_MOUNT = permitted("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt")
MAY_LINK = permitted("unshare", "--net", "ip", "link", "add", "type", "veth")
MAY_DROP = MAY_LINK and permitted("unshare", "--net", "nft", "add", "table", "inet", "rally")


class OpenCluster(Cluster):
    """Its coordinator listens on one end of a link, whose other end is in a network of its own.

    With a bridge, as between containers, this end stays up when the other goes down; without one it
    does not.
    """

    coordinator_flags = ["--insecure"]
    member_flags = ["--transports=tcp", "--network-devices=rally-here"]

    def __init__(self, bridge):
        super().__init__()
        self.bridge = bridge
        self.network = "rally-chaos"
        self.address = "198.18.71.1:0"
        self.links = contextlib.ExitStack()  # Undoes what was made.

    def __enter__(self):
        try:
            self.make_links()
            return super().__enter__()
        except BaseException:
            self.links.close()
            raise

    def __exit__(self, *arguments):
        super().__exit__(*arguments)
        self.links.close()

    def add_link(self, name, *kind):
        run("ip", "link", "add", name, "type", *kind)
        self.links.callback(run, "ip", "link", "delete", name)

    def make_links(self):
        # What a test that was killed has left.
        permitted("ip", "netns", "delete", self.network)
        for link in ("rally-here", "rally-spare"):
            permitted("ip", "link", "delete", link)
        run("ip", "netns", "add", self.network)
        self.links.callback(run, "ip", "netns", "delete", self.network)
        near = "rally-port" if self.bridge else "rally-here"
        self.add_link(near, "veth", "peer", "name", "rally-there", "netns", self.network)
        if self.bridge:
            self.add_link("rally-here", "bridge")
            self.add_link("rally-spare", "veth", "peer", "name", "rally-end")  # Up throughout.
            run("ip", "link", "set", "rally-end", "up")
            for port in ("rally-port", "rally-spare"):
                run("ip", "link", "set", port, "master", "rally-here", "up")
        run("ip", "address", "add", "198.18.71.1/30", "dev", "rally-here")
        run("ip", "link", "set", "rally-here", "up")
        self.inside("ip", "address", "add", "198.18.71.2/30", "dev", "rally-there")
        self.inside("ip", "link", "set", "rally-there", "up")
        self.inside("ip", "route", "add", "default", "via", "198.18.71.1")

    def inside(self, *command):
        return subprocess.run(["nsenter", f"--net=/run/netns/{self.network}", *command], check=True,
                              capture_output=True, text=True, timeout=PATIENCE).stdout

    def network_state(self):
        # The kernel checks IPv6 addresses for a second or two once a link is up.
        addresses = self.inside("ip", "address", "show", "rally-there").replace(" tentative", "")
        return addresses, self.inside("ip", "route")

    def add_member_inside(self, role, name):
        self.members[name] = Process(name, [
            shutil.which("ip"), "netns", "exec", self.network, program("rally-worker"),
            f"--role={role}", f"--coordinator={self.address}", f"--id={name}", "--threads=1",
            "--transports=tcp", "--network-devices=rally-there"
        ], self.directory)


class ChaosCase(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        # What chaos starts again comes to this process, which ends it with the test.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)

    def begin(self, cluster):
        self.addCleanup(self.end_respawned)
        self.cluster = cluster.__enter__()
        self.addCleanup(self.cluster.__exit__, None, None, None)
        self.dataset = make_dataset(self.cluster.directory)

    def end_respawned(self):
        for pid in children_left():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def job(self, steps, **changes):
        return merged(small_job(self.dataset), {
            "training": {"steps": steps},
            "batch": {"chunk_tokens": 1024},
            "attention": {"dedicated": 2, "in_place": True},
            **changes,
        })

    def start(self, job_id, spec):
        self.cluster.submit(job_id, spec)
        self.cluster.await_step(job_id, 2)

    def cancel(self, job_id):
        self.cluster.rally("cancel", job_id, "--grace=0s")

    def chaos(self, job_id, *arguments):
        return json.loads(self.cluster.rally("chaos", "--job", job_id, *arguments).stdout)

    def chaos_in_background(self, job_id, *arguments):
        process = subprocess.Popen(
            [program("rally"), f"--coordinator={self.cluster.address}", "--json", "chaos", "--job",
             job_id, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        self.addCleanup(lambda: (process.kill(), process.communicate()))
        return process

    def fails(self, *arguments):
        result = self.cluster.rally("chaos", *arguments, check=False)
        self.assertNotEqual(result.returncode, 0, result.stdout)
        return result.stderr

    def check(self, report, count):
        """What every report of `count` faults that a job got over says."""
        print(json.dumps(report), flush=True)
        self.assertEqual(len(report["faults"]), count)
        self.assertEqual(report["recovered_seconds"]["count"], count)
        self.assertLess(report["recovered_seconds"]["worst"], LONGEST)
        self.assertGreaterEqual(report["steps"], count)
        self.assertGreater(report["step_seconds"], 0)
        self.assertGreater(report["effective_ratio"], 0)
        for fault in report["faults"]:
            self.assertGreater(fault["recovered_seconds"], 0)
            if fault["detected_seconds"] is not None:
                self.assertLessEqual(fault["detected_seconds"], fault["recovered_seconds"])
                self.assertNotEqual(fault["sign"], "")


class ChaosTest(ChaosCase):

    def setUp(self):
        self.begin(Cluster(workers=2, attention_servers=3))

    def test_killed_servers_come_back(self):
        steps = 40 + 20 * KILLS
        self.cluster.submit("calm", self.job(steps))
        self.cluster.await_phase("calm", "succeeded")
        servers = [name for name in self.cluster.members if name.startswith("attention")]
        first = {self.cluster.members[name].popen.pid for name in servers}
        self.start("kills", self.job(steps))
        report = self.chaos("kills", "--kill=attention-server", "--every=500ms",
                            f"--count={KILLS}", "--respawn", "--against=calm")
        self.check(report, KILLS)
        struck, alive = set(), set(first)
        for fault in report["faults"]:
            self.assertRegex(fault["victim"], r"^attention-\d \(process \d+\)$")
            self.assertIn(fault["process_id"], alive)
            self.assertEqual(fault["sign"], "pool change")
            self.assertLess(fault["detected_seconds"], 1)
            struck.add(fault["process_id"])
            alive.remove(fault["process_id"])
            alive.add(fault["respawned_process_id"])
        for pid in struck & first:
            name = next(n for n in servers if self.cluster.members[n].popen.pid == pid)
            self.assertEqual(self.cluster.members[name].wait(), -signal.SIGKILL)
        for pid in alive - first:
            with open(f"/proc/{pid}/cmdline") as file:
                self.assertIn("--role=attention", file.read().split("\0"))
            log = os.readlink(f"/proc/{pid}/fd/1")
            self.assertEqual(os.path.dirname(log), self.cluster.directory)
        self.assertGreaterEqual(report["pool_changes"], KILLS)
        self.assertEqual(report["restarts"], 0)
        self.assertEqual((report["steps_lost"], report["steps_run_again"]), (0, 0))
        self.assertGreater(report["steps_compared"], 0)
        self.assertLess(report["loss_difference"], TOLERANCE)
        self.assertEqual(sorted(self.cluster.losses("kills")), list(range(1, steps + 1)))

    def test_a_killed_worker_costs_steps(self):
        directory = self.cluster.path("checkpoints")
        self.start("worker", self.job(ENDLESS, checkpoint={"directory": directory, "every": 10}))
        self.cluster.await_step("worker", 12)
        report = self.chaos("worker", "--kill=worker", "--respawn", "--count=1")
        self.check(report, 1)
        self.assertEqual(report["restarts"], 1)
        self.assertEqual(report["faults"][0]["sign"], "restart")
        self.assertLess(report["steps_lost"], 30)
        self.assertEqual(report["steps_run_again"], report["steps_lost"])
        self.cancel("worker")

    def test_a_killed_coordinator_comes_back(self):
        self.cluster.coordinator.kill()
        self.cluster.start_coordinator()  # On the port it had, which --respawn keeps.
        self.start("brain", self.job(ENDLESS))
        report = self.chaos("brain", "--kill=coordinator", "--respawn", "--count=1")
        self.check(report, 1)
        self.assertEqual(report["faults"][0]["sign"], "coordinator unreachable")
        self.assertEqual(report["faults"][0]["process_id"], self.cluster.coordinator.popen.pid)
        self.assertEqual((report["restarts"], report["steps_lost"]), (0, 0))
        self.cancel("brain")

    def test_a_stopped_coordinator_costs_nothing_but_time(self):
        self.start("still", self.job(ENDLESS))
        # Longer than members may be silent.
        report = self.chaos("still", "--stop=coordinator", "--for=12s", "--count=1")
        self.assertEqual((report["restarts"], report["steps_lost"], report["steps_run_again"]),
                         (0, 0, 0))
        step = int(self.cluster.status("still")["step"])
        self.cluster.await_step("still", step + 5)
        status = self.cluster.status("still")
        self.assertEqual(status["phase"], "JOB_PHASE_RUNNING")
        self.assertEqual(int(status.get("restarts", 0)), 0, status)
        self.cancel("still")

    def test_slow_and_stopped_servers(self):
        self.start("slow", self.job(ENDLESS))
        report = self.chaos("slow", "--slow=attention-server", "--by=5", "--for=1500ms",
                            "--every=1s", "--count=2")
        self.check(report, 2)
        self.assertEqual(report["restarts"], 0)
        report = self.chaos("slow", "--stop=attention-server", "--for=2s", "--every=1s",
                            "--count=2")
        self.check(report, 2)
        self.assertEqual(report["restarts"], 0)
        self.assertGreaterEqual(report["pool_changes"], 1)
        for member in self.cluster.members.values():
            self.assertNotEqual(state_of(member.popen.pid), "T")
        self.cancel("slow")

    @unittest.skipUnless(MAY_MOUNT, "file systems cannot be mounted here")
    def test_a_full_disk(self):
        disk = self.cluster.path("disk")
        os.mkdir(disk)
        run("mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", disk)
        self.addCleanup(run, "umount", disk)
        directory = os.path.join(disk, "checkpoints")
        self.start("disk", self.job(ENDLESS, checkpoint={"directory": directory, "every": 2}))
        process = self.chaos_in_background("disk", "--fill-disk", "--for=3s", "--count=1")
        await_condition(lambda: os.statvfs(disk).f_bfree == 0, "the disk is full")
        self.assertFalse([name for name in os.listdir(disk) if "chaos" in name])
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, err)
        report = json.loads(out)
        self.check(report, 1)
        self.assertEqual(report["faults"][0]["sign"], "CheckpointSaved: DiskFull")
        self.assertEqual((report["restarts"], report["steps_lost"]), (0, 0))
        self.assertGreater(os.statvfs(disk).f_bfree, 0)
        self.cancel("disk")

    def test_an_interrupt_undoes_the_fault_and_reports(self):
        self.start("long", self.job(ENDLESS))
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            process = self.chaos_in_background("long", "--stop=worker", "--for=1h")
            line = process.stderr.readline()
            pid = int(re.search(r"\(process (\d+)\)", line).group(1))
            await_condition(lambda: state_of(pid) == "T", "the worker is stopped")
            process.send_signal(number)
            out, _ = process.communicate(timeout=PATIENCE)
            self.assertEqual(process.returncode, code)
            self.assertNotEqual(state_of(pid), "T")
            fault = json.loads(out)["faults"][0]
            self.assertEqual(fault["process_id"], pid)
            step = int(self.cluster.status("long").get("step", 0))
            self.cluster.await_step("long", step + 2)
        self.cancel("long")

    def test_the_end_of_the_job_ends_a_fault(self):
        self.start("short", self.job(ENDLESS))
        process = self.chaos_in_background("short", "--slow=worker", "--for=1h")
        process.stderr.readline()
        self.cancel("short")
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 1)
        self.assertIn("job short cancelled", err)
        self.assertEqual(json.loads(out)["state"], "cancelled")

    def test_patience_with_a_job_that_does_not_go_on(self):
        self.start("stuck", self.job(ENDLESS))
        error = self.fails("--job=stuck", "--kill=worker", "--count=1", "--patience=2s")
        self.assertIn("--patience: job stuck, which is ", error)

    def test_refusals_say_why(self):
        self.start("safe", self.job(ENDLESS))
        self.assertIn("shares the network", self.fails("--job=safe", "--partition=worker"))
        self.assertIn("any free port", self.fails("--job=safe", "--kill=coordinator", "--respawn"))
        self.assertIn("checkpoint.directory", self.fails("--job=safe", "--fill-disk"))
        self.assertIn("is running, not succeeded",
                      self.fails("--job=safe", "--kill=worker", "--against=safe"))
        self.assertIn("there is no job", self.fails("--job=nothing", "--kill=worker"))
        self.assertEqual(self.cluster.status("safe")["phase"], "JOB_PHASE_RUNNING")
        self.cancel("safe")
        await_condition(lambda: self.cluster.status("safe")["phase"] == "JOB_PHASE_CANCELLED", "it")
        self.assertIn("has ended", self.fails("--job=safe", "--kill=worker"))


@unittest.skipUnless(MAY_LINK, "networks cannot be made here")
class NetworkTest(ChaosCase):

    def start_apart(self, bridge, **changes):
        """A job whose only attention server is in a network of its own."""
        self.begin(OpenCluster(bridge))
        for i in range(2):
            self.cluster.add_member("model", f"worker-{i}")
        self.cluster.add_member_inside("attention", "attention-0")
        attention = {"dedicated": 1, "in_place": True}
        self.start("cut", self.job(ENDLESS, attention=attention, **changes))

    def cut_off(self, bridge, **changes):
        """The server is cut off and back again; the report."""
        self.start_apart(bridge, **changes)
        before = self.cluster.network_state()
        process = self.chaos_in_background("cut", "--partition=attention-server", "--for=2s",
                                           "--count=1")
        await_condition(lambda: self.cluster.network_state() != before, "the server is cut off")
        self.assertNotIn(",UP", self.cluster.network_state()[0])
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, err)
        self.assertEqual(self.cluster.network_state(), before)
        report = json.loads(out)
        self.check(report, 1)
        self.assertGreaterEqual(report["pool_changes"], 1)
        self.cancel("cut")
        return report

    def test_a_server_that_is_cut_off(self):
        report = self.cut_off(bridge=True)
        self.assertEqual((report["restarts"], report["steps_lost"]), (0, 0))

    def test_workers_whose_network_fails_with_it(self):
        report = self.cut_off(bridge=False, max_restarts=1000)
        self.assertGreaterEqual(report["restarts"], 1)
        for member in self.cluster.members.values():
            self.assertIsNone(member.popen.poll(), member.log())

    @unittest.skipUnless(MAY_DROP, "packets cannot be lost here")
    def test_a_server_that_loses_packets(self):
        self.start_apart(bridge=True)
        process = self.chaos_in_background("cut", "--drop=attention-server", "--percent=2",
                                           "--for=3s", "--count=1")
        await_condition(lambda: re.search("counter packets [1-9]", self.rules()), "some are lost")
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, err)
        self.assertEqual(self.rules(), "")
        report = json.loads(out)
        self.check(report, 1)
        self.assertEqual(report["steps_lost"], 0)
        self.cancel("cut")

    def rules(self):
        return self.cluster.inside("nft", "list", "ruleset")


if __name__ == "__main__":
    unittest.main(verbosity=2)
