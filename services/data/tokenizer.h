// Tokenizer: turns a text into token ids.
//
// The seam between dataset preparation and the ways to tokenise. Owned by the caller; one thread at
// a time.
#ifndef RALLY_SERVICES_DATA_TOKENIZER_H_
#define RALLY_SERVICES_DATA_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

namespace rally {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // What dataset.json records: "bytes" or "sentencepiece".
  virtual std::string name() const = 0;
  // Every id is in [0, vocabulary).
  virtual int64_t vocabulary() const = 0;
  // The id that ends a document; Encode does not put it there.
  virtual int32_t end_of_document() const = 0;
  // Replaces `tokens` by those of `text`, a whole document or any piece of one.
  virtual absl::Status Encode(absl::string_view text, std::vector<int32_t>* tokens) = 0;
  // True when encoding a text in pieces, cut anywhere, gives the same tokens as in one go.
  virtual bool is_streamable() const = 0;
};

// One token per byte: vocabulary 257, the 256 bytes and end_of_document 256. Takes any bytes.
std::unique_ptr<Tokenizer> MakeByteTokenizer();

// A SentencePiece model file. end_of_document is the model's end-of-sentence piece, or one id added
// behind its vocabulary when it has none. Encoding runs in a child process, `program`
// (rally-sentencepiece), which ends with the tokenizer; Unavailable when it dies or gives no answer
// in 60 seconds. NotFound or InvalidArgument, naming the file, when the model cannot be loaded.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadSentencePieceTokenizer(const std::string& path,
                                                                      const std::string& program);

// Path of rally-sentencepiece where it is installed: beside the running program.
std::string SentencePieceProgram();

}  // namespace rally

#endif  // RALLY_SERVICES_DATA_TOKENIZER_H_
