"""Shows that every rule can fail, and that each leaves good code alone."""

import unittest

import rules

HEADER = "// What.\n#ifndef RALLY_{0}_H_\n#define RALLY_{0}_H_\n\n#endif  // RALLY_{0}_H_\n"
FUNCTION = "void F() {{\n{}}}\n"


class RulesTest(unittest.TestCase):

    def found(self, path, text):
        return list(rules.findings(path, text))

    def good(self, path, text):
        self.assertEqual(self.found(path, text), [])

    def bad(self, path, text, expected, line=None):
        found = self.found(path, text)
        self.assertTrue(any(expected in f for f in found), f"{expected!r} not in {found}")
        if line is not None:
            self.assertTrue(any(f.startswith(f"{path}:{line}:") for f in found), found)

    def test_include_direction(self):
        forbidden = {
            "common/a.cc": ("scheduler/b.h", "rally/v1/jobs.pb.h"),
            "scheduler/a.cc": ("proto/convert.h", "workers/agent.h", "services/x.h"),
            "proto/a.cc": ("services/x.h", "workers/agent.h"),
            "workers/transport/a.cc": ("workers/attention/b.h", "proto/convert.h"),
            "workers/attention/a.cc": ("workers/model/b.h", "workers/agent.h", "proto/convert.h"),
            "workers/model/a.cc": ("workers/attention/b.h", "proto/convert.h"),
            "workers/a.cc": ("services/x.h", "tests/x.h"),
            "services/cli/a.cc": ("workers/agent.h", "workers/model/b.h", "tests/x.h", "x.h"),
        }
        for path, targets in forbidden.items():
            for target in targets:
                with self.subTest(path=path, target=target):
                    self.assertEqual(len(self.found(path, f'#include "{target}"\n')), 1)
        self.good("common/a.cc", '#include "common/b.h"\n')
        self.good("proto/a.cc", '#include "rally/v1/jobs.pb.h"\n#include "scheduler/b.h"\n')
        self.good("workers/a.cc", '#include "workers/model/b.h"\n#include "workers/agent.h"\n')
        self.good("services/cli/a.cc", '#include "services/x.h"\n#include "proto/convert.h"\n')
        self.good("tests/a.cc", '#include "services/x.h"\n#include "workers/agent.h"\n')

    def test_libraries(self):
        self.bad("workers/attention/a.cc", "\n#include <torch/torch.h>\n", "library", 2)
        self.bad("workers/a.cc", "#include <ATen/ATen.h>\n", "library")
        self.bad("scheduler/a.cc", "#include <google/protobuf/message.h>\n", "library")
        self.bad("workers/model/a.cc", "#include <ucp/api/ucp.h>\n", "library")
        self.bad("workers/a.cc", "#include <sqlite3.h>\n", "library")
        self.good("workers/model/a.cc", "#include <torch/torch.h>\n")
        self.good("services/a.cc", "#include <grpcpp/grpcpp.h>\n#include <sqlite3.h>\n")
        self.good("tests/model/a.cc", "#include <torch/torch.h>\n")

    def test_file_length(self):
        self.good("common/a.cc", "\n" * 400)
        self.bad("common/a.cc", "\n" * 401, "401 lines")

    def test_function_length(self):
        self.good("common/a.cc", FUNCTION.format("  x;\n" * 58))
        self.bad("common/a.cc", FUNCTION.format("  x;\n" * 59), "a function of 61 lines")
        long = "  if (x) {\n    y;\n  }\n" * 20
        method = f"class A {{\n public:\n  int F(int a) const override {{\n{long}  }}\n}};\n"
        self.bad("common/a.cc", method, "a function of 62 lines", 3)
        self.good("common/a.cc", "namespace rally {\n" + FUNCTION.format("") * 40 + "}\n")
        self.good("common/a.cc", "struct A {\n" + "  int x = 0;\n" * 100 + "};\n")
        self.good("common/a.cc", "constexpr int kX[] = {\n" + "  1,\n" * 100 + "};\n")
        constructor = "A::A(int x) : x_(x), y_{x} {\n" + "  y;\n" * 60 + "}\n"
        self.bad("common/a.cc", constructor, "a function of 62 lines")
        default = "void F(A a = {}, B b = {1, 2}) {\n" + "  y;\n" * 60 + "}\n"
        self.bad("common/a.cc", default, "a function of 62 lines", 1)
        self.bad("common/a.cc", "TEST(A, B) {\n" + "  x;\n" * 59 + "}\n", "61 lines")
        text = 'void F() {\n  Log("}");  // }\n' + "  x;\n" * 58 + "}\n"
        self.bad("common/a.cc", text, "a function of 61 lines", 1)

    def test_banned_calls(self):
        for code in ('getenv("X")', "rand()", "srand(1)", 'system("ls")', "strcpy(a, b)",
                     'sprintf(a, "b")', "std::cout << x", 'printf("x")', 'std::puts("x")',
                     "std::this_thread::sleep_for(x)", "usleep(1)", "absl::SleepFor(x)", "sleep(1)",
                     "throw x", "std::regex r", "using namespace std"):
            with self.subTest(code=code):
                self.bad("common/a.cc", f"\n{code};\n", "is banned", 2)
                self.good("common/a.cc", f'// {code.replace(chr(34), "")};\nF("throw");\n')
        self.bad("common/a.h", HEADER.format("COMMON_A") + "#pragma once\n", "#pragma once")
        self.good("common/a.cc", 'std::snprintf(a, 3, "b"); brand(x);\n')
        self.good("common/a.cc", 'x.system(y); fprintf(e, "x");\n')
        self.good("services/cli/a.cc", "std::cout << x;\n")
        self.good("workers/worker_main.cc", 'std::printf("x");\n')
        self.good("tests/bench/a.cc", "absl::SleepFor(x);\n")
        self.bad("tests/common/a.cc", "absl::SleepFor(x);\n", "sleeping")

    def test_build_flags(self):
        self.bad("cmake/A.cmake", "add_compile_options(-march=native)\n", "same program")
        self.good("cmake/A.cmake", "add_compile_options(-mavx2)\n")

    def test_header(self):
        self.good("common/a_b.h", HEADER.format("COMMON_A_B"))
        self.bad("common/a_b.h", HEADER.format("COMMON_A"), "RALLY_COMMON_A_B_H_")
        self.bad("common/a.h", HEADER.format("COMMON_A").replace("// What.\n", ""), "opens with")

    def test_lines(self):
        self.good("common/a.cc", "x" * 100 + "\n")
        self.bad("common/a.cc", "x" * 101 + "\n", "101 columns")
        self.bad("common/a.cc", "\tx;\n", "a tab")
        self.bad("scripts/a.py", "x \n", "blanks")
        self.bad("common/a.cc", "x;", "no line break")

    def test_words(self):
        self.bad("docs/a.md", "see /work/main\n", "workplace")
        self.bad("README.md", "as PLATFORM.md says\n", "workplace")
        self.bad("common/a.cc", "// for issue 7\n", "workplace")
        self.bad("common/a.cc", "// TODO: more\n", "a stub")
        self.bad("common/a.cc", 'Error("not implemented");\n', "a stub")
        self.good("docs/a.md", "mount it at /data/work/ and file an issue\n")


if __name__ == "__main__":
    unittest.main()
