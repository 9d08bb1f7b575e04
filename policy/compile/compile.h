#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <span>
#include <vector>

#include "policy/compile/model.h"
#include "policy/yaml/document.h"

namespace sallyport {

// Nothing here keeps state: any thread may call it, several at once. Bad input is a Diagnostic
// (docs/policy.md lists the codes), never an exception; only std::bad_alloc is thrown.

struct CompiledPolicy {
  std::vector<uint8_t> image;  ///< What PolicyTable::load() takes.
  uint64_t revision = 0;       ///< Of the image; revision_text() shows it. Never 0.
  uint32_t documents = 0;      ///< EgressPolicy documents.
  uint32_t rules = 0;          ///< In all of them.
  uint32_t names = 0;          ///< Different domainNames and domainRegexes.
};

/// What read_readable_sources() found.
struct SourcesRead {
  std::vector<SourceFile> sources;
  std::vector<Diagnostic> unreadable;  ///< E025, one a path that cannot be read.
};

/// As read_sources(), but gives what can be read even if something cannot.
SourcesRead read_readable_sources(std::span<const std::filesystem::path> paths);

/// Reads policy files; a folder stands for its *.yaml and *.yml, sorted by name, not recursive.
/// Every path that cannot be read is its own diagnostic.
std::expected<std::vector<SourceFile>, std::vector<Diagnostic>> read_sources(
    std::span<const std::filesystem::path> paths);

/// Compiles what load_policies() gave. Deterministic: the same documents give the same bytes.
/// Control-side only: allocates, may take seconds for 100,000 names.
std::expected<CompiledPolicy, std::vector<Diagnostic>> compile_models(const PolicyModels& models);

/// load_policies() and compile_models().
/// @return the image, or every error of every file, in the order of place: files by name.
std::expected<CompiledPolicy, std::vector<Diagnostic>> compile_policy(
    std::span<const SourceFile> sources);

}  // namespace sallyport
