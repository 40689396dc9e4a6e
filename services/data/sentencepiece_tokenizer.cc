#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "common/status_macros.h"
#include "services/data/child_process.h"
#include "services/data/tokenizer.h"

namespace rally {
namespace {

constexpr absl::Duration kReplyTimeout = absl::Seconds(60);
constexpr uint64_t kMostReplyBytes = uint64_t{1} << 40;

// Speaks the protocol of sentencepiece_main.cc.
class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string model, std::unique_ptr<ChildProcess> child)
      : model_(std::move(model)), child_(std::move(child)) {}

  // Reads the first reply.
  absl::Status Start() {
    std::vector<int32_t> reply;
    RALLY_RETURN_IF_ERROR(ReadReply(&reply));
    if (reply.size() != 2 || reply[0] < 1) {
      return absl::UnavailableError(absl::StrCat(model_, ": rally-sentencepiece answers nonsense"));
    }
    vocabulary_ = reply[0];
    end_of_document_ = reply[1];
    if (end_of_document_ < 0) end_of_document_ = static_cast<int32_t>(vocabulary_++);
    return absl::OkStatus();
  }

  std::string name() const override { return "sentencepiece"; }
  int64_t vocabulary() const override { return vocabulary_; }
  int32_t end_of_document() const override { return end_of_document_; }
  bool is_streamable() const override { return false; }

  absl::Status Encode(absl::string_view text, std::vector<int32_t>* tokens) override {
    const uint64_t size = text.size();
    const absl::Time deadline = absl::Now() + kReplyTimeout;
    const absl::string_view size_bytes(reinterpret_cast<const char*>(&size), sizeof(size));
    RALLY_RETURN_IF_ERROR(Annotate(child_->Write(size_bytes, deadline), model_));
    RALLY_RETURN_IF_ERROR(Annotate(child_->Write(text, deadline), model_));
    return ReadReply(tokens);
  }

 private:
  absl::Status ReadReply(std::vector<int32_t>* tokens) {
    const absl::Time deadline = absl::Now() + kReplyTimeout;
    uint32_t kind = 0;
    uint64_t size = 0;
    RALLY_RETURN_IF_ERROR(Annotate(child_->Read(&kind, sizeof(kind), deadline), model_));
    RALLY_RETURN_IF_ERROR(Annotate(child_->Read(&size, sizeof(size), deadline), model_));
    if (kind > 1 || size > kMostReplyBytes || (kind == 0 && size % sizeof(int32_t) != 0)) {
      return absl::UnavailableError(absl::StrCat(model_, ": rally-sentencepiece answers nonsense"));
    }
    if (kind == 0) {
      tokens->resize(size / sizeof(int32_t));
      return Annotate(child_->Read(tokens->data(), size, deadline), model_);
    }
    std::string message(size, '\0');
    RALLY_RETURN_IF_ERROR(Annotate(child_->Read(message.data(), size, deadline), model_));
    return absl::InvalidArgumentError(absl::StrCat(model_, ": ", message));
  }

  const std::string model_;  // Path, for messages.
  const std::unique_ptr<ChildProcess> child_;
  int64_t vocabulary_ = 0;
  int32_t end_of_document_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadSentencePieceTokenizer(const std::string& path,
                                                                      const std::string& program) {
  std::error_code error;
  const std::filesystem::file_status file = std::filesystem::status(path, error);
  if (!std::filesystem::exists(file)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such SentencePiece model"));
  }
  if (!std::filesystem::is_regular_file(file)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a SentencePiece model file"));
  }
  RALLY_ASSIGN_OR_RETURN(std::unique_ptr<ChildProcess> child, ChildProcess::Start({program, path}));
  auto tokenizer = std::make_unique<SentencePieceTokenizer>(path, std::move(child));
  RALLY_RETURN_IF_ERROR(tokenizer->Start());
  return tokenizer;
}

std::string SentencePieceProgram() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path() / "rally-sentencepiece").string();
}

}  // namespace rally
