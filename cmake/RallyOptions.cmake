# Compiler settings shared by every target, and the two functions that declare libraries and tests.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

# ccache takes part with precompiled headers only when told that macros and times cannot change them.
find_program(RALLY_CCACHE ccache)
if(RALLY_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${RALLY_CCACHE})
endif()

find_program(RALLY_MOLD mold)
if(RALLY_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# LibTorch alone takes over 1 GB per file; two such compilations at a time are enough.
set_property(GLOBAL PROPERTY JOB_POOLS rally_heavy=2)

# Some packages bring this along: a header is precompiled for all only where all agree on it.
add_compile_options(-pthread)

if(RALLY_SANITIZE)
  add_compile_options(-fsanitize=${RALLY_SANITIZE} -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${RALLY_SANITIZE})
endif()

if(RALLY_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# The flags of our own code; third-party headers are SYSTEM and stay silent.
add_library(rally_flags INTERFACE)
target_include_directories(rally_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(rally_flags INTERFACE -Wall -Wextra -Wpedantic -Wno-missing-field-initializers)

# Headers that most sources include: parsing them once a target makes a build a third shorter. A
# source still includes all it uses: CMAKE_DISABLE_PRECOMPILE_HEADERS=ON builds without.
set(rally_common_headers
  <algorithm> <array> <cmath> <cstdint> <functional> <map> <memory> <optional> <string> <vector>
  <absl/base/thread_annotations.h> <absl/status/statusor.h> <absl/strings/str_cat.h>
  <absl/synchronization/mutex.h> <absl/time/clock.h> <absl/types/span.h>)

# rally_library(NAME [RECURSE] DEPS... [PRECOMPILE headers...]): one static library of every source in
# this folder, programs (*_main.cc) excepted.
function(rally_library name)
  cmake_parse_arguments(ARG "RECURSE" "" "DEPS;PRECOMPILE" ${ARGN})
  if(ARG_RECURSE)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS *.cc)
  else()
    file(GLOB sources CONFIGURE_DEPENDS *.cc)
  endif()
  list(FILTER sources EXCLUDE REGEX "_main\\.cc$")
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE rally_flags)
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  if(ARG_PRECOMPILE)
    target_precompile_headers(${name} PRIVATE ${ARG_PRECOMPILE})
  endif()
endfunction()

# rally_program(NAME SOURCE DEPS...): one executable in bin/.
function(rally_program name source)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} rally_flags)
endfunction()

# A test's own sources are compiled quickly; what it tests, and references that compute much, are
# libraries.
set(rally_test_options -O1)

# rally_test(NAME SOURCES... DEPS... [TIMEOUT seconds] [LABELS ...] [CONCURRENT]): one GoogleTest
# program. CONCURRENT: it computes for long and no more, so it may run beside others of its kind.
function(rally_test name)
  cmake_parse_arguments(ARG "CONCURRENT" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} rally_test_headers GTest::gtest_main rally_flags)
  target_compile_options(${name} PRIVATE ${rally_test_options})
  target_precompile_headers(${name} REUSE_FROM rally_test_headers)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  set(environment RALLY_BIN_DIR=${CMAKE_BINARY_DIR}/bin RALLY_SOURCE_DIR=${PROJECT_SOURCE_DIR})
  if(RALLY_SANITIZE MATCHES thread)
    # Debian's Abseil is built without the sanitizer; UCX hooks the system calls that end a thread,
    # where the sanitizer no longer works.
    target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/tsan_absl_mutex.cc)
    list(APPEND environment UCX_MEM_EVENTS=n
      TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/tsan.supp)
  elseif(RALLY_SANITIZE MATCHES address)
    list(APPEND environment LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/lsan.supp)
  endif()
  set(alone ON)
  if(ARG_CONCURRENT)
    set(alone OFF)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
    RUN_SERIAL ${alone} ENVIRONMENT "${environment}")
endfunction()
