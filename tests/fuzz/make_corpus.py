#!/usr/bin/env python3
"""Makes the fuzz targets' first inputs in tests/fuzz/corpus, from the examples and by hand.

Run from anywhere; needs protoc. core_fuzz and plan_fuzz take bytes that only a fuzzer can choose:
theirs (found-*) are from runs, chosen by libFuzzer's -set_cover_merge=1.
"""

import json
import pathlib
import shutil
import struct
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/fuzz/corpus"
PROFILE = (ROOT / "tests/integration/emulated.profile").read_text()


def folder(target):
    path = CORPUS / target
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def encode(kind, text):
    """The wire form of a message of rally.v1."""
    protos = ["jobs", "cluster", "plan", "spec"]
    return subprocess.run(
        ["protoc", "-I", str(ROOT / "proto"), f"--encode=rally.v1.{kind}"] +
        [f"rally/v1/{name}.proto" for name in protos],
        input=text.encode(), stdout=subprocess.PIPE, check=True, cwd=ROOT / "proto").stdout


SPEC = """
model { layers: 2 hidden_size: 64 heads: 4 kv_heads: 2 head_dim: 32 sliding_window: 64 }
data { path: "d" shuffle: false seed: 3 validation_fraction: 0.1 }
batch { chunk_tokens: 64 chunks: 4 max_document_tokens: 128 }
optimizer { learning_rate: 0.01 warmup_steps: 2 beta1: 0.5 gradient_clip: 2 }
training { steps: 5 compute_type: COMPUTE_TYPE_BFLOAT16 ping_pong: false }
workers: 2 attention { dedicated: 1 in_place: true tolerance: 0.1 planner: PLANNER_GREEDY }
validation { every: 2 chunks: 2 } checkpoint { directory: "c" every: 1 keep: 2 resume: true }
priority: 1 max_restarts: 2 deterministic: true
"""
PLAN = """
round: 1 step: 2 workers: 2 dedicated_servers: 1 stages: 1 next_position { pass: 1 index: 2 }
documents { source: [0, 1] source_begin: [0, 0] tokens: [8, 6] targets: [7, 6] }
micro_batches {
  chunks { nano_batches { document: 0 begin: 0 end: 4 }
           nano_batches { document: 0 begin: 4 end: 8 } }
  chunks { nano_batches { document: 1 begin: 0 end: 3 }
           nano_batches { document: 1 begin: 3 end: 6 } }
  tasks { document: [0, 1] q_begin: [0, 0] q_end: [4, 3] kv_begin: [0, 0] kv_end: [4, 3]
          server: [0, 2] }
  tasks { document: [0, 1] q_begin: [4, 3] q_end: [8, 6] kv_begin: [0, 0] kv_end: [8, 6]
          server: [2, 1] }
}
"""


def messages():
    out = folder("message_fuzz")
    job = ('job_id: "job-1" spec {' + SPEC + "} status { phase: JOB_PHASE_RUNNING epoch: 2 step: 3"
           ' conditions { type: "Ready" status: CONDITION_STATUS_TRUE } }'
           " create_time { seconds: 1700000000 nanos: 5 }")
    inputs = {
        "spec": (0, encode("JobSpec", SPEC)),
        "spec-paced": (0, encode("JobSpec", 'data { path: "d" } paced { profile: ' +
                                 json.dumps(PROFILE) + " time_scale: 2 ranks_per_node: 2 }")),
        "plan": (1, encode("Plan", PLAN)),
        "submit": (2, encode("SubmitJobRequest", 'job_id: "job-1" spec { data { path: "d" } }')),
        "list": (3, encode("ListJobsRequest",
                           'phases: [JOB_PHASE_QUEUED, JOB_PHASE_FAILED] id_prefix: "job"'
                           ' page_size: 3 page_token: "313a6a"')),
        "stored": (4, encode("Job", job)),
        "entry": (5, encode("LogEntry", 'time { seconds: 5 nanos: 7 } severity: "info" text: "t"')),
        "welcome": (6, encode("Welcome", "heartbeat_interval { seconds: 1 nanos: 5 }")),
    }
    for name, (kind, wire) in inputs.items():
        (out / name).write_bytes(bytes([kind]) + wire)


def job_files():
    out = folder("job_file_fuzz")
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        text = "".join(line.split("#")[0].rstrip() + "\n" for line in path.read_text().splitlines())
        (out / path.stem).write_text("\n".join(line for line in text.splitlines() if line) + "\n")
    lines = "".join(f"    {line}\n" for line in PROFILE.splitlines())
    (out / "paced").write_text("data: {path: d}\nworkers: 2\npaced:\n  stages: 2\n  profile: |\n" +
                               lines)
    (out / "quoted").write_text('id: "a"\ndata: {path: "x y", seed: 0x10}\nworkers: 1e3\n'
                                "model: &m\n  rope_theta: .inf\nbatch: *m\n")


def checkpoints():
    out = folder("checkpoint_fuzz")
    shapes = {"model.embed_tokens.weight": [5, 8], "model.norm.weight": [8]}
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        size = 4
        for extent in shape:
            size *= extent
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    tensors = struct.pack("<Q", len(text)) + text + bytes(offset)
    (out / "model").write_bytes(b"\x00" + tensors)
    (out / "optimizer").write_bytes(b"\x01" + tensors.replace(b"model.norm", b"first_mome"))
    (out / "config").write_bytes(b"\x02" + json.dumps(
        {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "rope_theta": 1e4,
         "sliding_window": None, "tie_word_embeddings": False}).encode())
    (out / "trainer").write_bytes(b"\x03" + json.dumps(
        {"format": "rally-checkpoint", "version": 1, "step": 7,
         "data_position": {"pass": 0, "index": 3, "token": 0},
         "xxh3": {"model.safetensors": "0" * 16, "config.json": "0" * 16,
                  "optimizer.safetensors": "0" * 16}}).encode())


def datasets():
    out = folder("dataset_fuzz")
    for width, code in ((2, "H"), (4, "i")):
        offsets, tokens = [0, 3, 4], [1, 2, 256, 256]
        manifest = {"format": "rally-dataset", "version": 1, "documents": 2, "tokens": 4,
                    "token_bytes": width, "vocabulary": 257, "tokenizer": "bytes",
                    "end_of_document": 256, "tokens_xxh3": "0" * 16, "index_xxh3": "0" * 16}
        data = b"RALLYTOK" + struct.pack(f"<IIQQ3Q4{code}", 1, width, 4, 2, *offsets, *tokens)
        (out / f"width-{width}").write_bytes(json.dumps(manifest).encode() + b"\0" + data)


def cases():
    out = folder("planner_case_fuzz")
    case = {"name": "a", "servers": 2, "tokens_per_worker": 10,
            "document_tokens": [[4, 6], [7, 3]], "distca": {"0.05": {"forward_bytes_per_token": 2}}}
    (out / "one").write_text(json.dumps([case]))


def profiles():
    out = folder("profile_fuzz")
    (out / "emulated").write_text(PROFILE)
    (out / "head").write_text(PROFILE + "head-parameters 49344\nhead forward 128 0.0001\n"
                              "head forward 4096 0.002\nhead backward 128 0.0002\n"
                              "head backward 4096 0.004\n")


if __name__ == "__main__":
    for make in (messages, job_files, checkpoints, datasets, cases, profiles):
        make()
