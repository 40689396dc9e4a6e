#include "services/cli/completion.h"

#include <functional>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>

namespace rally {
namespace {

using Visitor = std::function<void(const std::string& path, const CommandTree& command)>;

// Calls `visit` for `command` and all below it; a path is "rally data prepare".
void VisitCommands(const std::string& path, const CommandTree& command, const Visitor& visit) {
  visit(path, command);
  for (const CommandTree& sub : command.subcommands) {
    VisitCommands(absl::StrCat(path, " ", sub.name), sub, visit);
  }
}

// Inside single quotes of bash, zsh and fish alike; the first line of a description only.
std::string Quoted(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text.substr(0, text.find('\n')), {{"'", ""}}), "'");
}

std::vector<std::string> WordsOf(const CommandTree& command) {
  std::vector<std::string> words;
  for (const CommandTree& sub : command.subcommands) words.push_back(sub.name);
  for (const CommandTree::Option& option : command.options) words.push_back(option.name);
  return words;
}

// A function of bash and zsh that sets `choices` to what may follow a command, and fails when there
// is no such command.
std::string ChoicesFunction(const CommandTree& root) {
  std::string cases;
  VisitCommands(root.name, root, [&](const std::string& path, const CommandTree& command) {
    absl::StrAppend(&cases, "    '", path, "') choices='", absl::StrJoin(WordsOf(command), " "),
                    "' ;;\n");
  });
  return absl::StrCat("_rally_choices() {\n  case \"$1\" in\n", cases,
                      "    *) return 1 ;;\n  esac\n}\n");
}

// The body of a completer: finds the command among the words before the one to complete, given as
// an expression of the shell, then its choices.
std::string FindChoices(absl::string_view words_before) {
  return absl::StrCat(
      "  local command=rally word choices=''\n"
      "  for word in ",
      words_before,
      "; do\n"
      "    if _rally_choices \"$command $word\"; then command=\"$command $word\"; fi\n"
      "  done\n"
      "  _rally_choices \"$command\"\n");
}

std::string BashScript(const CommandTree& root) {
  return absl::StrCat("# bash completion for rally: source <(rally completion bash)\n",
                      ChoicesFunction(root), "_rally() {\n",
                      FindChoices("\"${COMP_WORDS[@]:1:COMP_CWORD-1}\""),
                      "  COMPREPLY=($(compgen -W \"$choices\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
                      "}\n"
                      "complete -o default -F _rally rally\n");
}

std::string ZshScript(const CommandTree& root) {
  return absl::StrCat(
      "#compdef rally\n", "# zsh completion for rally: source <(rally completion zsh)\n",
      ChoicesFunction(root), "_rally() {\n", FindChoices("\"${(@)words[2,CURRENT-1]}\""),
      "  compadd -- ${=choices}\n"
      "  _files\n"
      "}\n"
      "compdef _rally rally\n");
}

std::string FishScript(const CommandTree& root) {
  std::string script =
      "# fish completion for rally: rally completion fish | source\n"
      "complete -c rally -n __fish_use_subcommand -f\n";
  VisitCommands(root.name, root, [&](const std::string& path, const CommandTree& command) {
    std::string condition = "__fish_use_subcommand";
    if (path != root.name) {
      const std::string words = path.substr(root.name.size() + 1);
      condition = absl::StrCat(
          "__fish_seen_subcommand_from ",
          words.substr(words.rfind(' ') == std::string::npos ? 0 : words.rfind(' ') + 1));
    }
    for (const CommandTree& sub : command.subcommands) {
      absl::StrAppend(&script, "complete -c rally -n ", Quoted(condition), " -a ", sub.name, " -d ",
                      Quoted(sub.description), "\n");
    }
    for (const CommandTree::Option& option : command.options) {
      if (option.name.size() < 3) continue;  // Only the long form.
      absl::StrAppend(&script, "complete -c rally -n ", Quoted(condition), " -l ",
                      option.name.substr(2), option.takes_value ? " -r" : "", " -d ",
                      Quoted(option.description), "\n");
    }
  });
  return script;
}

}  // namespace

absl::StatusOr<std::string> CompletionScript(const CommandTree& root, absl::string_view shell) {
  if (shell == "bash") return BashScript(root);
  if (shell == "zsh") return ZshScript(root);
  if (shell == "fish") return FishScript(root);
  return absl::InvalidArgumentError(absl::StrCat("shell: ", shell, " is not bash, zsh or fish"));
}

}  // namespace rally
