"""Shows that the checks that run a tool can fail: formatting and thread safety."""

import pathlib
import tempfile
import unittest

import style_test
import thread_safety_test

GUARDED = """
#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
class Counter {
 public:
  void Add() {
    %s
    ++count_;
  }

 private:
  absl::Mutex mutex_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};
"""


class CheckersTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def status(self, code):
        (self.folder / "a.cc").write_text(code)
        entry = {"command": "g++ -std=c++20 -O2 -c a.cc", "file": "a.cc",
                 "directory": str(self.folder)}
        return thread_safety_test.check(entry, thread_safety_test.arguments(entry))[1:]

    def test_thread_safety(self):
        self.assertEqual(self.status(GUARDED % "absl::MutexLock lock(&mutex_);")[0], 0)
        status, errors = self.status(GUARDED % "")
        self.assertNotEqual(status, 0)
        self.assertIn("requires holding mutex 'mutex_'", errors)

    def test_format(self):
        (self.folder / ".clang-format").write_text("BasedOnStyle: Google\n")
        (self.folder / "good.cc").write_text("int x = 1;\n")
        (self.folder / "bad.cc").write_text("int  x=1;\n")
        found = style_test.check_format(str(self.folder), ["good.cc", "bad.cc"])
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith("bad.cc: not formatted"), found)

    def test_tree_files(self):
        (self.folder / "a.cc").write_text("")
        self.assertEqual(style_test.tree_files(str(self.folder)), ["a.cc"])


if __name__ == "__main__":
    unittest.main()
