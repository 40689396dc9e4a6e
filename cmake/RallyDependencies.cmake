# Third-party packages, Debian 12 names in scripts/install-deps. Nothing is vendored.

find_package(Threads REQUIRED)
find_package(Protobuf REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(Torch REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(UCX REQUIRED IMPORTED_TARGET ucx)
pkg_check_modules(SentencePiece REQUIRED IMPORTED_TARGET sentencepiece)

# LibTorch stays in workers/model: its include directories ride on this target alone. Its flags choose
# the standard library's ABI, which must be one for all.
add_library(rally_torch INTERFACE)
target_include_directories(rally_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
target_link_libraries(rally_torch INTERFACE ${TORCH_LIBRARIES})
separate_arguments(rally_torch_flags UNIX_COMMAND "${TORCH_CXX_FLAGS}")
add_compile_options(${rally_torch_flags})

if(RALLY_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()
