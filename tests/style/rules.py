"""The style of the tree as rules: each is a function of one file that yields findings.

A finding is (line, message), line counted from 1. Paths are relative to the repository's root.
"""

import re

FILE_LINES = 400
MEDIAN_LINES = 160
FUNCTION_LINES = 60
COLUMNS = 100

# What a folder may include of the project; the deepest folder that holds a file decides.
MAY_INCLUDE = {
    "common": ("common",),
    "scheduler": ("scheduler", "common"),
    "proto": ("proto", "scheduler", "common"),
    "workers/transport": ("workers/transport", "scheduler", "common"),
    "workers/attention": ("workers/attention", "workers/transport", "scheduler", "common"),
    "workers/model": ("workers/model", "workers/transport", "scheduler", "common"),
    "workers": ("workers", "workers/transport", "workers/attention", "workers/model", "proto",
                "scheduler", "common"),
    "services": ("services", "proto", "scheduler", "common"),
}

# Where the headers of an outside library may be included.
LIBRARIES = (
    (r"(torch|ATen|c10|c10d|caffe2)/", ("workers/model",)),
    (r"(grpc|grpcpp|google/protobuf)/", ("proto", "services", "workers")),
    (r"openssl/", ("proto", "services")),
    (r"(ucp|uct|ucs)/", ("workers/transport",)),
    (r"(sqlite3|httplib|sentencepiece_processor)\.h|yaml-cpp/", ("services",)),
    (r"prometheus/", ("common", "services")),
    (r"(imm|x86|avx\w*)intrin\.h", ("workers/attention",)),
)

# (pattern, what it is, paths where it is allowed as prefixes or suffixes)
MAINS = ("_main.cc",)
BANNED_CALLS = (
    (r"\b(secure_)?getenv\s*\(", "getenv", ("tests/", "common/start_over.h")),
    (r"\bs?rand\s*\(", "rand", ()),
    (r"(?<![\w.>])system\s*\(", "system", ()),
    (r"\b(strcpy|strcat|sprintf|vsprintf|gets)\s*\(", "an unbounded string function", ()),
    (r"std::cout|(?<![\w:])(std::)?(printf|puts|putchar)\s*\(", "writing to standard output",
     ("services/cli/", "tests/") + MAINS),
    (r"\bsleep_for\b|\bsleep_until\b|\busleep\s*\(|\bnanosleep\s*\(|\bSleepFor\b|"
     r"(?<![\w:.])sleep\s*\(", "sleeping",
     ("tests/bench/", "workers/transport/delayed_transport.cc")),
    (r"\bthrow\b", "throw", ("workers/model/status_error.h",)),  # Through LibTorch's engine.
    (r"\busing\s+namespace\b", "using namespace", ()),
    (r"\bstd::w?regex\b", "std::regex", ("tests/",)),
    (r"#\s*pragma\s+once", "#pragma once", ()),
)

WORKPLACE_WORDS = re.compile(
    r"(?<![\w.])/work/|\.\./shared\b|\bDESIGN\.md\b|\bPLATFORM\.md\b|\bissues? #?\d+\b", re.I)
STUBS = re.compile(r"\b(TODO|FIXME|XXX)\b|\bnot (yet )?implemented\b", re.I)


def is_cpp(path):
    return path.endswith((".cc", ".h"))


def is_test(path):
    return path.startswith("tests/")


def folder_of(path, folders):
    """The deepest of `folders` that holds `path`, or None."""
    held = [f for f in folders if path.startswith(f + "/")]
    return max(held, key=len) if held else None


def strip(text):
    """C++ `text` with comments, string and character literals blanked, line breaks kept."""
    token = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|'
        r"(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*'", re.S)
    return token.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def includes(text):
    """(line, quote, path) of every include; quote is '"' or '<'."""
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)', line)
        if match:
            yield number, match.group(1), match.group(2)


def check_include_direction(path, text):
    folder = folder_of(path, MAY_INCLUDE)
    if not is_cpp(path) or folder is None:
        return
    for number, quote, target in includes(text):
        if quote != '"':
            continue
        home = "proto" if target.startswith("rally/") else folder_of(target, MAY_INCLUDE)
        if home is None:
            yield number, f'"{target}" is not a path from the root of the repository'
        elif home not in MAY_INCLUDE[folder]:
            yield number, f"{folder} must not include {home} ({target})"


def check_libraries(path, text):
    if not is_cpp(path) or is_test(path):
        return
    for number, quote, target in includes(text):
        for pattern, allowed in LIBRARIES:
            if quote == "<" and re.match(pattern, target):
                folder = folder_of(path, MAY_INCLUDE)
                if folder not in allowed:
                    yield number, f"{folder} must not use this library ({target})"


def check_file_length(path, text):
    count = text.count("\n")
    if is_cpp(path) and count > FILE_LINES:
        yield FILE_LINES + 1, f"{count} lines, the limit is {FILE_LINES}"


INITIALISES = ("=", ",", "(", "{", "return")


def functions(text):
    """(first line, last line) of every function body: the outermost braces that follow (...)."""
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group()),
                  strip(text), flags=re.M)
    head_start, first, inside, open_braces = 0, 0, None, []
    for match in re.finditer(r"[{};]", code):
        at, char = match.start(), match.group()
        if char == "{":
            head = code[head_start:at]
            # As clang-format writes them: "x{1}", "= {1}", "({1})" initialise, ") {" is a block.
            is_block = head == "" or head[-1].isspace() and not head.rstrip().endswith(INITIALISES)
            open_braces.append(is_block)
            if is_block and inside is None and is_function_head(head.strip()):
                inside, first = len(open_braces), code.count("\n", 0, at) + 1
        elif char == "}" and open_braces:
            if inside == len(open_braces):
                yield first, code.count("\n", 0, at) + 1
                inside = None
            is_block = open_braces.pop()
        if char == ";" or is_block:
            head_start = at + 1


def is_function_head(head):
    if re.match(r"(inline\s+)?namespace\b|extern\b\s*$|enum\b", head):
        return False
    if re.match(r"(template\s*<.*>\s*)?(class|struct|union)\b", head, re.S) and "(" not in head:
        return False
    return "(" in head


def check_function_length(path, text):
    if not is_cpp(path):
        return
    for first, last in functions(text):
        if last - first + 1 > FUNCTION_LINES:
            yield first, f"a function of {last - first + 1} lines, the limit is {FUNCTION_LINES}"


def check_banned_calls(path, text):
    if not is_cpp(path):
        return
    code = strip(text)
    for pattern, what, allowed in BANNED_CALLS:
        if any(path.startswith(a) or path.endswith(a) for a in allowed):
            continue
        for match in re.finditer(pattern, code):
            yield code.count("\n", 0, match.start()) + 1, f"{what} is banned"


def check_build_flags(path, text):
    if path.endswith(("CMakeLists.txt", ".cmake", "CMakePresets.json")):
        for number, line in enumerate(text.split("\n"), 1):
            if "-march=native" in line or "-ffast-math" in line:
                yield number, "a build must give the same program on every machine"


def check_header(path, text):
    if not path.endswith(".h"):
        return
    if not text.startswith("// "):
        yield 1, "a header opens with a comment that says what the thing is"
    guard = "RALLY_" + re.sub(r"\W", "_", path).upper() + "_"
    code = re.sub(r"\A(//[^\n]*\n|\n)*", "", text)
    if not code.startswith(f"#ifndef {guard}\n#define {guard}\n"):
        yield 1, f"the include guard should be {guard}"


def check_lines(path, text):
    is_build = path.endswith((".cmake", "CMakeLists.txt"))
    if not is_cpp(path) and not path.endswith((".py", ".proto")) and not is_build:
        return
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > COLUMNS and not is_build:
            yield number, f"{len(line)} columns, the limit is {COLUMNS}"
        if "\t" in line:
            yield number, "a tab"
        if line != line.rstrip():
            yield number, "blanks at the end of the line"
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no line break at the end of the file"


def check_words(path, text):
    if path.startswith("tests/style/"):
        return
    for number, line in enumerate(text.split("\n"), 1):
        if WORKPLACE_WORDS.search(line):
            yield number, "names the workplace; the project speaks of itself alone"
        if is_cpp(path) and STUBS.search(line):
            yield number, "a stub"


RULES = (check_include_direction, check_libraries, check_file_length, check_function_length,
         check_banned_calls, check_build_flags, check_header, check_lines, check_words)


def findings(path, text):
    """Everything that is wrong with one file, as 'path:line: message'."""
    for rule in RULES:
        for line, message in rule(path, text):
            yield f"{path}:{line}: {message}"
