#include <algorithm>

#include "services/data/tokenizer.h"

namespace rally {
namespace {

constexpr int32_t kEndOfDocument = 256;

class ByteTokenizer final : public Tokenizer {
 public:
  std::string name() const override { return "bytes"; }
  int64_t vocabulary() const override { return kEndOfDocument + 1; }
  int32_t end_of_document() const override { return kEndOfDocument; }
  bool is_streamable() const override { return true; }

  absl::Status Encode(absl::string_view text, std::vector<int32_t>* tokens) override {
    tokens->resize(text.size());
    std::transform(text.begin(), text.end(), tokens->begin(),
                   [](char c) { return static_cast<unsigned char>(c); });
    return absl::OkStatus();
  }
};

}  // namespace

std::unique_ptr<Tokenizer> MakeByteTokenizer() { return std::make_unique<ByteTokenizer>(); }

}  // namespace rally
