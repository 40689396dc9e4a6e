"""A Rally cluster of real processes on loopback, for tests.

Every process ends with the test: the cluster's exit stops and, if need be, kills it; the kernel
kills what a killed test leaves behind. Every wait has a deadline.
"""

import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time

BIN = os.environ["RALLY_BIN_DIR"]
PATIENCE = 120  # Seconds any single step may take on a busy machine.
ENDED = ("JOB_PHASE_FAILED", "JOB_PHASE_CANCELLED", "JOB_PHASE_SUCCEEDED")


def program(name):
    return os.path.join(BIN, name)


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def await_condition(condition, what, patience=PATIENCE):
    """Polls until condition() is true; its value."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {patience} s")
        time.sleep(0.02)


class Process:
    """One program with its output in a file."""

    def __init__(self, name, arguments, directory):
        self.name = name
        self.log_path = os.path.join(directory, name + ".log")
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(
                [program(arguments[0])] + arguments[1:], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, preexec_fn=die_with_parent)

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def signal(self, number):
        self.popen.send_signal(number)

    def wait(self, patience=PATIENCE):
        """Its exit code, negative when a signal killed it."""
        return self.popen.wait(patience)

    def kill(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait(10)


class Cluster:
    """A coordinator, model workers and attention servers; a context manager."""

    # Flags beside those that every cluster needs: of the coordinator, of members, of `rally`.
    coordinator_flags = ()
    member_flags = ()
    user_flags = ()

    def __init__(self, workers=0, attention_servers=0):
        self.directory = tempfile.mkdtemp(prefix="rally-cluster-")
        self.members = {}
        self.coordinator = None
        self.address = None
        self._initial = (workers, attention_servers)

    def __enter__(self):
        try:
            self.start_coordinator()
            for i in range(self._initial[0]):
                self.add_member("model", f"worker-{i}")
            for i in range(self._initial[1]):
                self.add_member("attention", f"attention-{i}")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            for process in [self.coordinator, *self.members.values()]:
                print(f"--- {process.name}\n{process.log()[-4000:]}")
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def start_coordinator(self):
        """On a free port at first, later on the same one."""
        address_file = self.path("address.json")
        if os.path.exists(address_file):
            os.unlink(address_file)
        self.coordinator = Process("coordinator", [
            "rally-coordinator", f"--listen={self.address or '127.0.0.1:0'}", "--http=127.0.0.1:0",
            f"--data-dir={self.path('coordinator-data')}", f"--address-file={address_file}",
            *self.coordinator_flags
        ], self.directory)

        def addresses():
            if self.coordinator.popen.poll() is not None:
                raise RuntimeError("the coordinator ended:\n" + self.coordinator.log())
            return os.path.exists(address_file)

        await_condition(addresses, "the coordinator listens")
        with open(address_file) as file:
            self.address = json.load(file)["grpc"]

    def add_member(self, role, name, *flags):
        self.members[name] = Process(name, [
            "rally-worker", f"--role={role}", f"--coordinator={self.address}", f"--id={name}",
            "--threads=1", *self.member_flags, *flags
        ], self.directory)
        return self.members[name]

    def stop(self):
        """Members first, then the coordinator; kills what does not end. Exit codes by name."""
        processes = [*self.members.values(), self.coordinator]
        for process in processes[:-1]:
            if process.popen.poll() is None:
                process.signal(signal.SIGTERM)
        codes = {}
        for process in processes:
            if process is None:
                continue
            if process is self.coordinator and process.popen.poll() is None:
                process.signal(signal.SIGTERM)
            try:
                codes[process.name] = process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[process.name] = "killed"
        return codes

    # ---- The command line ----

    def rally(self, *arguments, check=True):
        result = run_rally(f"--coordinator={self.address}", "--json", *self.user_flags, *arguments)
        if check and result.returncode != 0:
            raise RuntimeError(f"rally {' '.join(arguments)}: {result.returncode}\n{result.stderr}")
        return result

    def submit(self, job_id, spec):
        return json.loads(
            self.rally("submit", write_job(self.path(job_id + ".yaml"), spec), "--id",
                       job_id).stdout)

    def get(self, job_id):
        return json.loads(self.rally("get", job_id).stdout)

    def status(self, job_id):
        return self.get(job_id)["status"]

    def events(self, job_id):
        """All events of a job; waits for its end."""
        lines = self.rally("watch", job_id, check=False).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def await_step(self, job_id, step):
        def reached():
            status = self.status(job_id)
            if status["phase"] in ("JOB_PHASE_FAILED", "JOB_PHASE_CANCELLED"):
                raise RuntimeError(f"{job_id}: {status}")
            return int(status.get("step", 0)) >= step

        await_condition(reached, f"{job_id} at step {step}")

    def await_phase(self, job_id, *phases):
        wanted = ["JOB_PHASE_" + phase.upper() for phase in phases]
        status = {}

        def reached():
            status.update(self.status(job_id))
            if status["phase"] in wanted:
                return True
            if status["phase"] in ENDED:
                raise RuntimeError(f"{job_id} ended: {status}")
            return False

        await_condition(reached, f"{job_id} {phases}")
        return status

    def losses(self, job_id):
        """Loss by step; the job must succeed."""
        events = self.events(job_id)
        self.await_phase(job_id, "succeeded")
        return {int(e["step"]["step"]): e["step"]["loss"] for e in events if "step" in e}

    def condition(self, job_id, kind):
        """Whether a condition is true."""
        return any(c["type"] == kind and c["status"] == "CONDITION_STATUS_TRUE"
                   for c in self.status(job_id)["conditions"])

    def checksum(self, job_id):
        return self.await_phase(job_id, "succeeded")["weights_checksum"]


def run_rally(*arguments, patience=PATIENCE, env=None):
    return subprocess.run([program("rally"), *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=patience, env=env,
                          preexec_fn=die_with_parent)


def write_job(path, spec):
    with open(path, "w") as file:
        json.dump(spec, file, indent=1)  # JSON is YAML.
    return path


def merged(base, changes):
    """A copy of nested dictionaries with `changes` put over it."""
    result = dict(base)
    for key, value in changes.items():
        result[key] = merged(base.get(key, {}), value) if isinstance(value, dict) else value
    return result


def make_dataset(directory, name="dataset", documents=150, longest=3000, seed=7):
    """A byte dataset of made-up words; lengths are log-normal, so heavy-tailed."""
    source = random.Random(seed)
    words = ["".join(source.choices("etaoinshrdlu", k=source.randint(2, 8))) for _ in range(300)]
    path = os.path.join(directory, name + ".jsonl")
    with open(path, "w") as file:
        for _ in range(documents):
            length = max(1, min(longest, int(source.lognormvariate(4.8, 1.2))))
            text = ""
            while len(text) < length:
                text += words[int(300 * source.random()**2)] + " "
            file.write(json.dumps({"text": text[:length]}) + "\n")
    output = os.path.join(directory, name)
    result = run_rally("data", "prepare", path, "--output", output)
    if result.returncode != 0:
        raise RuntimeError(result.stderr)
    return output


def small_job(dataset):
    """Two layers, grouped-query heads: small but real."""
    return {
        "model": {"layers": 2, "hidden_size": 64, "feed_forward_size": 128, "heads": 4,
                  "kv_heads": 2, "head_dim": 32},
        "data": {"path": dataset},
        "batch": {"chunk_tokens": 256, "chunks": 2},
        "optimizer": {"warmup_steps": 5},
        "training": {"steps": 50},
        "workers": 2,
    }
