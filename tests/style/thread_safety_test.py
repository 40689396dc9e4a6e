"""Clang's thread-safety analysis over every source that takes part in locking.

Usage: thread_safety_test.py --build DIRECTORY [--all]. Reads compile_commands.json there. Looks at
sources that reach an annotation (ABSL_GUARDED_BY and its kin) through the project's own includes;
without --all not at those that use LibTorch, which take too long. Exit status 1 on a finding.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

import rules

ROOT = pathlib.Path(__file__).resolve().parents[2]
ANNOTATION = "ABSL_GUARDED_BY"
FLAGS = ["-fsyntax-only", "-Wno-everything", "-Wthread-safety", "-Werror=thread-safety"]
HEAVY = ("gmock/gmock.h", "grpcpp/grpcpp.h", "gtest/gtest.h", "rally/v1/cluster.grpc.pb.h",
         "rally/v1/jobs.grpc.pb.h")
KEPT = ("-I", "-D", "-std=", "-isystem")


def reaches_annotation(path, known):
    """True when `path` or a project header it includes, at any depth, holds an annotation."""
    if path not in known:
        known[path] = False  # Ends cycles.
        file = ROOT / path
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        known[path] = ANNOTATION in text or any(
            quote == '"' and reaches_annotation(target, known)
            for _, quote, target in rules.includes(text))
    return known[path]


def arguments(entry):
    """The entry's include, define and standard flags."""
    words = shlex.split(entry["command"])
    kept = []
    for word, following in zip(words, words[1:] + [""]):
        if word in ("-isystem", "-I"):
            kept.append(word + following)
        elif word.startswith(KEPT):
            kept.append(word)
    return kept


def precompile(flags, folder):
    """Parses once what most of the sources include; its file."""
    header = os.path.join(folder, "heavy.h")
    with open(header, "w", encoding="utf-8") as file:
        file.writelines(f"#include <{name}>\n" for name in HEAVY)
    subprocess.run(["clang++", *flags, "-w", "-x", "c++-header", header, "-o", header + ".pch"],
                   check=True)
    return header + ".pch"


def check(entry, flags):
    command = ["clang++", *flags, *FLAGS, entry["file"]]
    result = subprocess.run(command, cwd=entry["directory"], capture_output=True, text=True,
                            check=False)
    return entry["file"], result.returncode, result.stderr


def selected(build, everything):
    """The entries of compile_commands.json to look at."""
    known = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = os.path.relpath(entry["file"], ROOT)
        is_ours = not path.startswith(("..", "build/")) and os.path.isfile(entry["file"])
        uses_torch = "/torch/csrc/" in entry["command"]
        if is_ours and reaches_annotation(path, known) and (everything or not uses_torch):
            yield entry


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    if shutil.which("clang++") is None:
        print("clang++ is not installed: scripts/install-deps installs it", file=sys.stderr)
        return 1
    entries = list(selected(options.build, options.all))
    # Everybody's flags together, so that all can use one precompiled header.
    flags = list(dict.fromkeys(flag for entry in entries for flag in arguments(entry)))
    failed = 0
    with (tempfile.TemporaryDirectory() as folder,
          concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool):
        flags += ["-include-pch", precompile(flags, folder)]
        for file, status, errors in pool.map(lambda entry: check(entry, flags), entries):
            if status != 0:
                failed += 1
                print(f"{file}:\n{errors}")
    print(f"{len(entries)} sources that lock, {failed} with findings")
    return 1 if failed or not entries else 0


if __name__ == "__main__":
    sys.exit(main())
