// What the loaders say of each file named on the command line: a line "FILE ok", or for each
// finding "FILE<tab>CODE<tab>HINT". The loader is that of the file's first document.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>

#include "policy/compile/compile.h"
#include "policy/compile/identity_feed.h"
#include "policy/compile/policy_test.h"

using namespace sallyport;

namespace {

std::string kind_of(const SourceFile& source) {
  const auto documents = parse_yaml(source);
  if (!documents || documents->empty()) return "";
  const auto& entries = documents->front().entries;
  const auto kind = std::ranges::find(entries, "kind", &YamlNode::Entry::key);
  return kind == entries.end() ? "" : kind->value.scalar;
}

template <typename Loaded>
std::vector<Diagnostic> findings(const Loaded& loaded) {
  return loaded ? std::vector<Diagnostic>{} : loaded.error();
}

std::vector<Diagnostic> load(const SourceFile& source) {
  const std::string kind = kind_of(source);
  if (kind == "DestinationSet") {
    // A policy of its own, so that there is one.
    constexpr const char* kPolicy =
        "{apiVersion: sallyport/v1, kind: EgressPolicy, metadata: {name: p},"
        " spec: {egress: [{name: r, action: Deny}]}}";
    return findings(load_policies(std::vector{source, SourceFile{"policy", kPolicy}}));
  }
  if (kind == "IdentityFeed") return findings(load_identities({&source, 1}));
  if (kind == "PolicyTest") return findings(load_policy_tests({&source, 1}, 0));
  return findings(load_policies({&source, 1}));
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::filesystem::path> paths(argv + 1, argv + argc);
  const auto sources = read_sources(paths);
  if (!sources) {
    for (const Diagnostic& one : sources.error()) std::puts(to_string(one).c_str());
    return 2;
  }
  for (const SourceFile& source : *sources) {
    const auto found = load(source);
    if (found.empty()) std::printf("%s ok\n", source.name.c_str());
    for (const Diagnostic& one : found) {
      std::printf("%s\t%s\t%s\n", source.name.c_str(), one.code.c_str(), one.hint.c_str());
    }
  }
  return 0;
}
