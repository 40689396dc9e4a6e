#include "services/cli/command_tree.h"

#include <string>

#include <CLI/CLI.hpp>

namespace rally {
namespace {

bool IsFlag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

}  // namespace

CommandTree TreeOf(const CLI::App& app) {
  CommandTree tree;
  tree.name = app.get_name();
  tree.description = app.get_description();
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_snames()) {
      tree.options.push_back({"-" + name, option->get_description(), !IsFlag(*option)});
    }
    for (const std::string& name : option->get_lnames()) {
      tree.options.push_back({"--" + name, option->get_description(), !IsFlag(*option)});
    }
  }
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    tree.subcommands.push_back(TreeOf(*sub));
  }
  return tree;
}

}  // namespace rally
