"""Bad input: a clear message, the right exit code, nothing left behind."""

import json
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from cluster import (Cluster, await_condition, die_with_parent, make_dataset, merged, program,
                     run_rally, small_job, write_job)

FAILURE = 1
USAGE = 2
INTERRUPTED = 130
TERMINATED = 143


def marked(marker):
    """An environment by which a program's descendants are known; its proxy leads nowhere."""
    return {**os.environ, "RALLY_TEST_RUN": marker, "http_proxy": "http://127.0.0.1:9"}


def processes_of(marker):
    """Ids of the processes that have this marker in their environment."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if f"RALLY_TEST_RUN={marker}".encode() in file.read().split(b"\0"):
                    found.append(int(name))
        except OSError:
            continue  # It has ended.
    return found


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def listening_ports(pids):
    """TCP ports on which these processes listen."""
    sockets = set()
    for pid in pids:
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                sockets.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            continue  # It has ended.
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as file:
            for line in file.read().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:  # LISTEN.
                    ports.add(int(fields[1].split(":")[1], 16))
    return ports


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As servers do.
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def make_dataset_of_lengths(path, lengths):
    subprocess.run([os.environ["RALLY_TEST_DATASET"], path, *map(str, lengths)], check=True,
                   timeout=60)
    return path


class BadInputTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="rally-bad-input-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.directory = cls.folder.name
        cls.dataset = make_dataset(cls.directory)
        cls.base = merged(small_job(cls.dataset), {"training": {"steps": 5}})
        cls.runs = 0

    def path(self, name):
        return os.path.join(self.directory, name)

    def run_job(self, spec, *arguments):
        """`rally run` of a spec, given as a dictionary or as text; what it left behind fails."""
        self.__class__.runs += 1
        job = self.path(f"job-{self.runs}.yaml")
        run_directory = self.path(f"run-{self.runs}")
        if isinstance(spec, str):
            with open(job, "w") as file:
                file.write(spec)
        else:
            write_job(job, spec)
        result = run_rally("run", job, "--run-dir", run_directory, *arguments,
                           env=marked(run_directory))
        self.assertEqual(processes_of(run_directory), [])
        return result

    def refuses(self, result, code, *fragments):
        self.assertEqual(result.returncode, code, result.stderr)
        for fragment in fragments:
            self.assertIn(fragment, result.stderr)
        self.assertLess(len(result.stderr), 2000, "a message, not a dump:\n" + result.stderr)

    def test_job_files(self):
        base = self.base
        cases = [
            (merged(base, {"model": {"layrs": 2}}), ["layrs"]),
            (merged(base, {"model": {"layers": "many"}}), ["layers", "many"]),
            (merged(base, {"model": {"layers": 0}}), ["model.layers", "0", "[1, 1024]"]),
            (merged(base, {"model": {"head_dim": 33}}), ["model.head_dim", "33"]),
            (merged(base, {"model": {"heads": 4, "kv_heads": 3}}), ["model.kv_heads", "3"]),
            (merged(base, {"optimizer": {"learning_rate": -1}}), ["optimizer.learning_rate", "-1"]),
            (merged(base, {"workers": 0}), ["workers", "0"]),
        ]
        for spec, fragments in cases:
            with self.subTest(fragments[0]):
                self.refuses(self.run_job(spec), USAGE, *fragments)
        with self.subTest("not YAML"):
            self.refuses(self.run_job("model: [1, 2\n"), USAGE)
        with self.subTest("empty"):
            self.refuses(self.run_job(""), USAGE, ".yaml:1: the file is empty")

    def test_datasets(self):
        with self.subTest("missing"):
            spec = merged(self.base, {"data": {"path": self.path("nothing")}})
            self.refuses(self.run_job(spec), FAILURE, "data.path", self.path("nothing"))
        with self.subTest("truncated"):
            cut = make_dataset(self.directory, "cut")
            tokens = os.path.join(cut, "tokens.bin")
            os.truncate(tokens, os.path.getsize(tokens) - 100)
            spec = merged(self.base, {"data": {"path": cut}})
            self.refuses(self.run_job(spec), FAILURE, "tokens.bin")
        with self.subTest("no documents"):
            empty = self.path("empty.jsonl")
            open(empty, "w").close()
            result = run_rally("data", "prepare", empty, "--output", self.path("empty"))
            self.assertIn(result.returncode, (FAILURE, USAGE), result.stderr)
            self.assertIn("document", result.stderr)
            self.assertEqual([n for n in os.listdir(self.directory) if n.startswith("empty.p")
                              or n == "empty"], [])
        with self.subTest("only documents of one token"):
            ones = make_dataset_of_lengths(self.path("ones"), [1] * 40)
            result = self.run_job(merged(self.base, {"data": {"path": ones}}))
            self.refuses(result, FAILURE, "data.path", ones, "nothing to predict")
            self.assertNotIn("starting", result.stderr)

    def test_documents_of_one_token_train(self):
        lengths = [1, 1, 1, 2, 1, 9, 1, 1, 70, 1] * 30
        spec = merged(self.base, {
            "data": {"path": make_dataset_of_lengths(self.path("short"), lengths)},
            "batch": {"chunk_tokens": 64}, "attention": {"in_place": True},
            "validation": {"every": 2}})
        result = self.run_job(spec, "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(json.loads(result.stdout.splitlines()[-1])["steps"], 5)

    def test_ports_and_coordinators(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with self.subTest("a port in use"):
                result = run_rally("up", "--listen", f"127.0.0.1:{port}", "--run-dir",
                                   self.path("up"), env=marked(self.path("up")))
                self.refuses(result, FAILURE, str(port))
                self.assertEqual(processes_of(self.path("up")), [])
        with self.subTest("no address"):
            result = run_rally("up", "--listen", "nonsense", env=marked(self.path("up")))
            self.refuses(result, USAGE, "--listen: \"nonsense\" is not HOST:PORT")
        with self.subTest("a coordinator that is not there"):
            result = run_rally(f"--coordinator=127.0.0.1:{port}", "list")
            self.refuses(result, FAILURE, f"127.0.0.1:{port}")

    def test_one_id_two_specs(self):
        with Cluster() as cluster:
            cluster.submit("same", self.base)
            cluster.submit("same", self.base)  # A repeat is the same job.
            six_steps = merged(self.base, {"training": {"steps": 6}})
            other = write_job(self.path("other.yaml"), six_steps)
            result = cluster.rally("submit", other, "--id", "same", check=False)
            self.refuses(result, FAILURE, "same", "another spec")

    def test_programs_refuse_unknown_flags(self):
        for name in ("rally", "rally-coordinator", "rally-worker"):
            with self.subTest(name):
                result = subprocess.run([program(name), "--colour=red"], capture_output=True,
                                        text=True, timeout=60)
                self.refuses(result, USAGE, "colour")

    def interrupt_after(self, delay, index):
        job = write_job(self.path(f"stop-{index}.yaml"),
                        merged(self.base, {"training": {"steps": 100000}}))
        run_directory = self.path(f"stop-run-{index}")
        run = subprocess.Popen([program("rally"), "run", job, "--run-dir", run_directory,
                                "--threads", "1"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               env=marked(run_directory), preexec_fn=die_with_parent)
        deadline = time.monotonic() + delay
        while time.monotonic() < deadline:
            self.assertIsNone(run.poll(), "it ended by itself")
            time.sleep(0.01)
        ports = listening_ports(processes_of(run_directory))
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=60)
        # Before its first line of code the program has no say in how it ends.
        self.assertIn(run.returncode, (INTERRUPTED, -signal.SIGINT), errors)
        await_condition(lambda: processes_of(run_directory) == [], "no process is left", 10)
        await_condition(lambda: all(map(is_free, ports)), f"free ports {ports}", 10)
        self.assertFalse(os.path.exists(os.path.join(run_directory, "coordinator.address.json")))

    def test_interrupt_at_any_moment(self):
        moments = random.Random(20)
        for index in range(8):
            # The first ones hit the start, the later ones the training.
            delay = moments.uniform(0.05, 0.5 * (index + 1))
            with self.subTest(f"Ctrl-C after {delay:.2f} s"):
                self.interrupt_after(delay, index)

    def start_rally(self, marker, *arguments):
        process = subprocess.Popen([program("rally"), *arguments], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=marked(marker), preexec_fn=die_with_parent)
        self.addCleanup(process.kill)
        return process

    def test_interrupt_up(self):
        marker = self.path("up-stops")
        up = self.start_rally(marker, "up", "--workers", "2", "--listen", "127.0.0.1:0", "--json",
                              "--run-dir", marker)
        address = json.loads(up.stdout.readline())["coordinator"]
        ports = listening_ports(processes_of(marker))
        self.assertIn(int(address.split(":")[1]), ports)
        up.send_signal(signal.SIGINT)
        _, errors = up.communicate(timeout=60)
        self.assertEqual(up.returncode, INTERRUPTED, errors)
        self.assertEqual(processes_of(marker), [])
        await_condition(lambda: all(map(is_free, ports)), f"free ports {ports}", 10)

    def test_chaos_spares_the_coordinator_of_up(self):
        marker = self.path("up-lives")
        up = self.start_rally(marker, "up", "--workers", "2", "--listen", "127.0.0.1:0", "--json",
                              "--run-dir", marker)
        at = f"--coordinator={json.loads(up.stdout.readline())['coordinator']}"
        job = write_job(self.path("spared.yaml"),
                        merged(self.base, {"training": {"steps": 1000000}}))
        self.assertEqual(run_rally(at, "submit", job, "--id", "spared").returncode, 0)
        for more in ([], ["--respawn"]):
            result = run_rally(at, "chaos", "--job", "spared", "--kill", "coordinator", "--count",
                               "1", *more)
            self.refuses(result, FAILURE, "--kill: the coordinator, process", "`rally up`")
        status = json.loads(run_rally(at, "get", "spared", "--json").stdout)["status"]
        self.assertEqual(status["phase"], "JOB_PHASE_RUNNING")
        up.send_signal(signal.SIGTERM)
        _, errors = up.communicate(timeout=60)
        self.assertEqual(up.returncode, TERMINATED, errors)

    def test_interrupt_what_computes(self):
        job = write_job(self.path("plan.yaml"), merged(self.base, {
            "workers": 8, "batch": {"chunks": 8, "chunk_tokens": 4096},
            "attention": {"in_place": True}}))
        for number, code in ((signal.SIGTERM, TERMINATED), (signal.SIGINT, INTERRUPTED)):
            plan = self.start_rally("plan", "plan", job, "--search", "1h", "--repeats",
                                    "1000")
            await_condition(lambda: processor_seconds(plan.pid) > 0.5, "it plans")
            self.assertIsNone(plan.poll())
            begin = time.monotonic()
            plan.send_signal(number)
            _, errors = plan.communicate(timeout=60)
            self.assertEqual(plan.returncode, code, errors)
            self.assertLess(time.monotonic() - begin, 2)

    def test_interrupt_submit_watch(self):
        with Cluster() as cluster:
            job = write_job(self.path("watched.yaml"), self.base)
            watch = self.start_rally("watch", f"--coordinator={cluster.address}", "submit", job,
                                     "--id", "watched", "--watch")
            await_condition(lambda: "queued" in watch.stderr.readline(), "it watches")
            watch.send_signal(signal.SIGINT)
            _, errors = watch.communicate(timeout=60)
            self.assertEqual(watch.returncode, INTERRUPTED, errors)
            self.assertIn("rally cancel watched", errors)
            self.assertEqual(cluster.status("watched")["phase"], "JOB_PHASE_QUEUED")

    def test_interrupt_data_prepare(self):
        text = self.path("zeros.txt")
        with open(text, "w") as file:
            file.truncate(16 << 30)  # No blocks: long to read, nothing to store.
        output = self.path("zeros")

        def partials():
            return [name for name in os.listdir(self.directory) if name.startswith("zeros.p")]

        def interrupt(number):
            prepare = self.start_rally(output, "data", "prepare", text, "--output", output)
            await_condition(partials, "it writes")
            prepare.send_signal(number)
            _, errors = prepare.communicate(timeout=60)
            self.assertFalse(os.path.exists(output))
            return prepare.returncode, errors

        code, errors = interrupt(signal.SIGINT)
        self.assertEqual(code, INTERRUPTED, errors)
        self.assertEqual(partials(), [])
        code, _ = interrupt(signal.SIGKILL)
        self.assertEqual(code, -signal.SIGKILL)
        self.assertEqual(len(partials()), 1)
        # Whoever prepares it again finds the place clean.
        with open(text, "w") as file:
            file.write("a short text")
        self.assertEqual(run_rally("data", "prepare", text, "--output", output).returncode, 0)
        self.assertEqual(partials(), [])


if __name__ == "__main__":
    unittest.main()
