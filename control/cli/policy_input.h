#pragma once

#include <expected>
#include <span>
#include <string>
#include <vector>

#include "control/cli/commands.h"
#include "policy/compile/compile.h"

namespace sallyport {

/// Why there are no sources or no image, and the exit status that says so.
struct PolicyFailure {
  Exit status = kExitNo;
  std::vector<Diagnostic> diagnostics;
  std::vector<SourceFile> sources;  ///< What could be read: the lines that findings are shown with.
  std::string why;                  ///< In words, where no finding says it.
};

/// Reads the files named on the command line; kExitBadInput when one cannot be read.
std::expected<std::vector<SourceFile>, PolicyFailure> read_policy(const CliOptions& options);

/// Files that hold a policy without errors.
struct CheckedFiles {
  std::vector<SourceFile> sources;
  PolicyModels models;
  CompiledPolicy policy;
};

/// Reads and compiles them; kExitNo when they have errors. When a file cannot be read
/// (kExitBadInput) the findings of the others are there, too.
std::expected<CheckedFiles, PolicyFailure> check_files(const CliOptions& options);

/// The same, for whoever wants the image alone.
std::expected<CompiledPolicy, PolicyFailure> compile_files(const CliOptions& options);

/// Prints findings to standard error, each with its line; in colours where that is a terminal.
void print_findings(std::span<const Diagnostic> diagnostics, std::span<const SourceFile> sources);

/// Prints the findings: as print_findings(), or one JSON object on standard output.
/// @return failure.status.
int report_failure(const PolicyFailure& failure, Format format);

}  // namespace sallyport
