"""Holds the whole tree to tests/style/rules.py and to .clang-format.

Usage: style_test.py ROOT. Prints every finding and a summary; exit status 1 when there is one.
"""

import pathlib
import shutil
import statistics
import subprocess
import sys

import rules

BINARY = (".png", ".svg", ".ico", ".woff2")


def tree_files(root):
    """Paths of the repository's files, without what git ignores."""
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={root}", "-C", root, "ls-files", "-z", "--cached",
         "--others", "--exclude-standard"], capture_output=True, check=False)
    if listing.returncode == 0:
        names = listing.stdout.decode().split("\0")
    else:  # A source archive.
        names = [str(p.relative_to(root)) for p in pathlib.Path(root).rglob("*")]
        names = [n for n in names if not n.startswith(("build/", ".git/"))]
    return sorted(n for n in names
                  if n and (pathlib.Path(root) / n).is_file() and not n.endswith(BINARY))


def check_format(root, files):
    """What clang-format would change, as findings."""
    if shutil.which("clang-format") is None:
        print("clang-format is not installed: formatting is not checked")
        return []
    result = subprocess.run(["clang-format", "--dry-run", "-Werror", *files], cwd=root,
                            capture_output=True, text=True, check=False)
    lines = [l for l in result.stderr.splitlines() if "error:" in l]
    return sorted({l.split(":")[0] + ": not formatted: run scripts/format" for l in lines})


def main():
    root = sys.argv[1]
    found, lengths = [], []
    files = tree_files(root)
    for name in files:
        text = (pathlib.Path(root) / name).read_text(encoding="utf-8", errors="replace")
        found.extend(rules.findings(name, text))
        if rules.is_cpp(name):
            lengths.append(text.count("\n"))
    found.extend(check_format(root, [f for f in files if rules.is_cpp(f)]))
    median = statistics.median(lengths)
    if median >= rules.MEDIAN_LINES:
        found.append(f"the median file has {median:.0f} lines, the limit is {rules.MEDIAN_LINES}")
    for finding in found:
        print(finding)
    print(f"{len(files)} files, {len(lengths)} of C++: median {median:.0f} lines, longest "
          f"{max(lengths)}; {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
