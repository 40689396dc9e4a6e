"""A cluster that trusts nobody: TLS, client certificates and tokens, end to end."""

import hashlib
import json
import os
import secrets
import subprocess
import unittest

from cluster import Cluster, await_condition, make_dataset, merged, run_rally, small_job, write_job

ROLES = ("viewer", "submitter", "admin", "member")


def openssl(*arguments):
    result = subprocess.run(["openssl", *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, timeout=60)
    if result.returncode != 0:
        raise RuntimeError(result.stderr)


class SecureCluster(Cluster):
    """Its coordinator wants a certificate and a token of everybody."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.tokens = {role: secrets.token_urlsafe(32) for role in ROLES}
        for role, token in self.tokens.items():
            self.write(f"{role}.token", token + "\n")
        self.write_token_file()
        self.make_authority("ca")
        for name in ("coordinator", "member", "user"):
            self.make_certificate(name, "ca")
        os.mkdir(self.path("data"))
        self.coordinator_flags = [
            *self.certificate_flags("coordinator"), f"--token-file={self.path('tokens')}",
            f"--data-root={self.path('data')}"
        ]
        self.member_flags = self.flags_of("member", "member")
        self.user_flags = self.flags_of("user", "submitter")

    def write(self, name, text):
        with open(self.path(name + ".new"), "w") as file:
            file.write(text)
        os.rename(self.path(name + ".new"), self.path(name))

    def write_token_file(self):
        lines = [
            f"{role} {role} sha256:{hashlib.sha256(token.encode()).hexdigest()}\n"
            for role, token in self.tokens.items()
        ]
        self.write("tokens", "".join(lines))

    def make_authority(self, name):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-subj", f"/CN={name}", "-days", "2", "-keyout",
                self.path(name + ".key"), "-out", self.path(name + ".pem"))

    def make_certificate(self, name, authority):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", f"/CN={name}", "-keyout", self.path(name + ".key"), "-out",
                self.path(name + ".csr"))
        self.write("names", "subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl("x509", "-req", "-in", self.path(name + ".csr"), "-CA",
                self.path(authority + ".pem"), "-CAkey", self.path(authority + ".key"),
                "-CAcreateserial", "-days", "2", "-extfile", self.path("names"), "-out",
                self.path(name + ".pem"))

    def certificate_flags(self, name):
        return [f"--tls-ca={self.path('ca.pem')}", f"--tls-cert={self.path(name + '.pem')}",
                f"--tls-key={self.path(name + '.key')}"]

    def flags_of(self, name, role):
        return [*self.certificate_flags(name), f"--token-file={self.path(role + '.token')}"]

    def ask(self, flags, *arguments):
        return run_rally(f"--coordinator={self.address}", *flags, *arguments)


class ClusterSecurityTest(unittest.TestCase):

    def job(self, cluster):
        dataset = make_dataset(cluster.path("data"))
        return merged(small_job(dataset), {
            "training": {"steps": 4},
            "attention": {"dedicated": 1},
            "checkpoint": {"directory": cluster.path("data/checkpoints")},
        })

    def refused(self, result, *fragments):
        self.assertEqual(result.returncode, 1, result.stderr)
        for fragment in fragments:
            self.assertIn(fragment, result.stderr)

    def test_a_job_trains_and_strangers_do_not_get_in(self):
        with SecureCluster(2, 1) as cluster:
            spec = self.job(cluster)
            cluster.submit("job", spec)
            losses = cluster.losses("job")
            self.assertEqual(sorted(losses), [1, 2, 3, 4])
            user = cluster.certificate_flags("user")
            viewer = cluster.flags_of("user", "viewer")
            submitter = cluster.flags_of("user", "submitter")
            file = write_job(cluster.path("again.yaml"), spec)
            self.assertEqual(json.loads(cluster.ask(viewer, "list", "--json").stdout)["jobs"][0]
                             ["job_id"], "job")
            self.refused(cluster.ask(viewer, "submit", file), "role viewer, which may not call")
            self.refused(cluster.ask(cluster.flags_of("user", "member"), "list"), "role member")
            self.refused(cluster.ask(user, "list"), "a bearer token is needed")
            self.refused(cluster.ask([submitter[0], submitter[-1]], "list"),
                         "a client certificate is needed")
            self.refused(cluster.ask([], "list"), "no coordinator answers", "--tls-ca")
            result = cluster.ask([submitter[-1]], "list")
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn("must not travel in clear", result.stderr)
            cluster.make_authority("other")
            cluster.make_certificate("stranger", "other")
            self.refused(cluster.ask(cluster.flags_of("stranger", "admin"), "list"),
                         "no coordinator answers")
            distrusting = [f"--tls-ca={cluster.path('other.pem')}", *submitter[1:]]
            self.refused(cluster.ask(distrusting, "list"), "certificate verify failed")
            outside = merged(spec, {"checkpoint": {"directory": cluster.path("elsewhere")}})
            result = cluster.ask(submitter, "submit", write_job(cluster.path("o.yaml"), outside))
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn("checkpoint.directory: ", result.stderr)
            self.check_no_secrets(cluster)

    def test_members_need_their_role_and_take_new_tokens(self):
        with SecureCluster(0, 0) as cluster:
            false_member = cluster.add_member("model", "false-member",
                                              f"--token-file={cluster.path('viewer.token')}")
            self.assertEqual(false_member.wait(), 1)
            self.assertIn("role viewer, which may not call", false_member.log())
            # The token it will have is not known yet: the member tries again until it is.
            early = secrets.token_urlsafe(32)
            cluster.write("member.token", early)
            worker = cluster.add_member("model", "worker")
            await_condition(lambda: "the token is not a valid one" in worker.log(), "a refusal")
            cluster.tokens["member"] = early
            cluster.write_token_file()
            await_condition(lambda: "is a member of the cluster" in worker.log(), "a welcome")
            cluster.add_member("attention", "server")
            cluster.submit("job", merged(self.job(cluster), {"workers": 1, "batch": {"chunks": 1}}))
            self.assertEqual(sorted(cluster.losses("job")), [1, 2, 3, 4])
            self.check_no_secrets(cluster)

    def check_no_secrets(self, cluster):
        for process in [cluster.coordinator, *cluster.members.values()]:
            log = process.log()
            self.assertGreater(len(log), 0)
            for role, token in cluster.tokens.items():
                self.assertNotIn(token, log, f"{role}'s token is in the log of {process.name}")


if __name__ == "__main__":
    unittest.main()
