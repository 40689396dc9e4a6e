// FuzzFolder: one folder of a fuzz target's process, for readers that take paths.
//
// In memory (/dev/shm) where that is there; removed at exit. One thread.
#ifndef RALLY_TESTS_FUZZ_FUZZ_FOLDER_H_
#define RALLY_TESTS_FUZZ_FUZZ_FOLDER_H_

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include <absl/strings/string_view.h>

#include "tests/fuzz/fuzz_check.h"

namespace rally::test {

class FuzzFolder {
 public:
  FuzzFolder() {
    path_ =
        std::filesystem::exists("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path();
    path_ += "/rally-fuzz-XXXXXX";
    FuzzCheck(mkdtemp(path_.data()) != nullptr, "cannot make " + path_);
  }
  FuzzFolder(const FuzzFolder&) = delete;
  FuzzFolder& operator=(const FuzzFolder&) = delete;
  ~FuzzFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }
  // In a folder that exists.
  void Write(const std::string& name, absl::string_view contents) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << contents;
  }

 private:
  std::string path_;
};

}  // namespace rally::test

#endif  // RALLY_TESTS_FUZZ_FUZZ_FOLDER_H_
