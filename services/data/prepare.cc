#include "services/data/prepare.h"

#include <cstddef>
#include <memory>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <nlohmann/json.hpp>

#include "common/dataset_writer.h"
#include "common/status_macros.h"
#include "services/data/document_sink.h"
#include "services/data/input_files.h"
#include "services/data/line_reader.h"
#include "services/data/tokenizer.h"

namespace rally {
namespace {

constexpr size_t kMostLineBytes = size_t{1} << 30;  // Of .jsonl.

absl::Status LineError(const std::string& path, int64_t line, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ":", line, ": ", what));
}

// The string field `field` of the JSON object `line`.
absl::StatusOr<std::string> FieldOf(const std::string& line, const std::string& field) {
  nlohmann::json object;
  try {
    object = nlohmann::json::parse(line);
  } catch (const nlohmann::json::parse_error& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 9: what": ours is the line.
    const absl::string_view message = error.what();
    const size_t what = message.find(": ");
    return absl::InvalidArgumentError(absl::StrCat(
        "not JSON: ", what == absl::string_view::npos ? message : message.substr(what + 2)));
  }
  if (!object.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected a JSON object, found ", object.type_name()));
  }
  auto found = object.find(field);
  if (found == object.end()) {
    return absl::InvalidArgumentError(absl::StrCat("the object has no field \"", field, "\""));
  }
  if (!found->is_string()) {
    return absl::InvalidArgumentError(
        absl::StrCat("field \"", field, "\" should be a string, is ", found->type_name()));
  }
  return std::move(found->get_ref<std::string&>());
}

// One call of PrepareDataset.
class Preparation {
 public:
  Preparation(const PrepareOptions& options, const PrepareProgressCallback& callback,
              DocumentSink* sink)
      : options_(options), callback_(callback), sink_(*sink) {}

  absl::Status Run(const std::vector<InputFile>& files) {
    for (const InputFile& file : files) progress_.bytes_total += file.bytes;
    for (const InputFile& file : files) {
      progress_.file = file.path;
      LineReader reader([this](int64_t bytes) { return Report(bytes); });
      RALLY_RETURN_IF_ERROR(reader.Open(file.path));
      RALLY_RETURN_IF_ERROR(file.kind == InputKind::kText ? ReadText(&reader)
                                                          : ReadJsonLines(&reader));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status ReadText(LineReader* reader) {
    while (true) {
      RALLY_ASSIGN_OR_RETURN(const LineReader::Piece piece, reader->Next());
      if (piece.text.empty()) return sink_.EndDocument();
      const bool is_whole_line = piece.starts_line && piece.ends_line;
      if (!options_.split_on.empty() && is_whole_line && piece.content() == options_.split_on) {
        RALLY_RETURN_IF_ERROR(sink_.EndDocument());
      } else {
        RALLY_RETURN_IF_ERROR(Annotate(sink_.Append(piece.text), progress_.file));
      }
    }
  }

  absl::Status ReadJsonLines(LineReader* reader) {
    std::string line;
    while (true) {
      RALLY_ASSIGN_OR_RETURN(const LineReader::Piece piece, reader->Next());
      if (piece.text.empty()) return absl::OkStatus();
      absl::StrAppend(&line, piece.text);
      if (line.size() > kMostLineBytes) {
        return LineError(progress_.file, piece.line, "the line is longer than 1 GiB");
      }
      if (!piece.ends_line) continue;
      RALLY_RETURN_IF_ERROR(AddJsonLine(line, piece.line));
      line.clear();
    }
  }

  absl::Status AddJsonLine(const std::string& line, int64_t number) {
    if (absl::StripAsciiWhitespace(line).empty()) return absl::OkStatus();
    absl::StatusOr<std::string> text = FieldOf(line, options_.text_field);
    if (!text.ok()) return LineError(progress_.file, number, text.status().message());
    absl::Status status = sink_.Append(*text);
    if (status.ok()) status = sink_.EndDocument();
    return Annotate(status, absl::StrCat(progress_.file, ":", number));
  }

  absl::Status Report(int64_t bytes) {
    progress_.bytes_done += bytes;
    progress_.documents = sink_.documents();
    progress_.tokens = sink_.tokens();
    if (callback_ == nullptr || callback_(progress_)) return absl::OkStatus();
    return absl::CancelledError("preparation was cancelled");
  }

  const PrepareOptions& options_;
  const PrepareProgressCallback& callback_;
  DocumentSink& sink_;
  PrepareProgress progress_;
};

absl::Status CheckOptions(const PrepareOptions& options) {
  if (options.inputs.empty()) return absl::InvalidArgumentError("no input file or folder is given");
  if (options.output.empty()) return absl::InvalidArgumentError("no output folder is given");
  if (options.text_field.empty()) return absl::InvalidArgumentError("the text field has no name");
  if (absl::StrContains(options.split_on, '\n')) {
    return absl::InvalidArgumentError("the line to split on holds a line break");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Tokenizer>> MakeTokenizer(const PrepareOptions& options) {
  if (options.sentencepiece_model.empty()) return MakeByteTokenizer();
  return LoadSentencePieceTokenizer(options.sentencepiece_model,
                                    options.sentencepiece_program.empty()
                                        ? SentencePieceProgram()
                                        : options.sentencepiece_program);
}

}  // namespace

absl::StatusOr<PrepareResult> PrepareDataset(const PrepareOptions& options,
                                             const PrepareProgressCallback& progress) {
  RALLY_RETURN_IF_ERROR(CheckOptions(options));
  RALLY_ASSIGN_OR_RETURN(const std::vector<InputFile> files, ListInputFiles(options.inputs));
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, MakeTokenizer(options));
  const DatasetInfo info{.vocabulary = tokenizer->vocabulary(),
                         .tokenizer = tokenizer->name(),
                         .end_of_document = tokenizer->end_of_document()};
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<DatasetWriter> writer,
                         DatasetWriter::Create(options.output, info));
  DocumentSink sink(tokenizer.get(), writer.get());
  RALLY_RETURN_IF_ERROR(Preparation(options, progress, &sink).Run(files));
  if (sink.documents() == 0) {
    return absl::InvalidArgumentError(absl::StrCat("no document with text in ", files.size(),
                                                   files.size() == 1 ? " file" : " files",
                                                   ", the first of them ", files.front().path));
  }
  PrepareResult result;
  RALLY_ASSIGN_OR_RETURN(result.info, writer->Finish());
  result.files = static_cast<int64_t>(files.size());
  result.empty_documents = sink.empty_documents();
  return result;
}

}  // namespace rally
