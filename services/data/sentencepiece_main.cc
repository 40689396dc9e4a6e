// rally-sentencepiece MODEL: encodes texts by a SentencePiece model, for a parent over pipes.
//
// A process of its own, since libsentencepiece brings a Protocol Buffers runtime that cannot share
// a process with gRPC's. services/data/tokenizer starts it; it is not meant for people.
//
// Numbers are in the machine's byte order. Standard input carries requests until it ends: uint64
// size, then a text of that many bytes. Standard output carries one reply before the first request
// and one to each: uint32 kind, uint64 size, then `size` bytes:
//   kind 0  int32s; the first reply holds the vocabulary's size and the end-of-sentence id or -1,
//           every other the tokens of the text
//   kind 1  an error's message
// Exits with 0 when its input ends, 1 when a pipe breaks or the model cannot be loaded.
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <sentencepiece_processor.h>

namespace {

constexpr uint32_t kTokens = 0;
constexpr uint32_t kError = 1;

// False when the input ends first.
bool ReadAll(void* data, size_t bytes) {
  auto* next = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t count = read(STDIN_FILENO, next, bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    next += count;
    bytes -= static_cast<size_t>(count);
  }
  return true;
}

bool WriteAll(const void* data, size_t bytes) {
  const auto* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t count = write(STDOUT_FILENO, next, bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    next += count;
    bytes -= static_cast<size_t>(count);
  }
  return true;
}

bool Reply(uint32_t kind, const void* data, uint64_t bytes) {
  return WriteAll(&kind, sizeof(kind)) && WriteAll(&bytes, sizeof(bytes)) && WriteAll(data, bytes);
}

bool ReplyTokens(const std::vector<int>& tokens) {
  static_assert(sizeof(int) == sizeof(int32_t));
  return Reply(kTokens, tokens.data(), tokens.size() * sizeof(int32_t));
}

bool ReplyError(const std::string& message) {
  return Reply(kError, message.data(), message.size());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    ReplyError("usage: rally-sentencepiece MODEL");
    return 2;
  }
  sentencepiece::SentencePieceProcessor processor;
  if (const auto status = processor.Load(argv[1]); !status.ok()) {
    ReplyError(status.ToString());
    return 1;
  }
  if (!ReplyTokens({processor.GetPieceSize(), processor.eos_id()})) return 1;
  std::string text;
  std::vector<int> tokens;
  for (uint64_t size = 0; ReadAll(&size, sizeof(size));) {
    text.resize(size);
    if (!ReadAll(text.data(), size)) return 1;
    const auto status = processor.Encode(text, &tokens);
    if (!(status.ok() ? ReplyTokens(tokens) : ReplyError(status.ToString()))) return 1;
  }
  return 0;
}
