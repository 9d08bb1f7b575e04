#pragma once

#include <expected>
#include <vector>

#include "control/cli/commands.h"
#include "policy/compile/compile.h"

namespace sallyport {

/// Why there are no sources or no image, and the exit status that says so.
struct PolicyFailure {
  Exit status = kExitNo;
  std::vector<Diagnostic> diagnostics;
};

/// Reads the files named on the command line; kExitBadInput when one cannot be read.
std::expected<std::vector<SourceFile>, PolicyFailure> read_policy(const CliOptions& options);

/// Reads and compiles them; kExitNo when they have errors.
std::expected<CompiledPolicy, PolicyFailure> compile_files(const CliOptions& options);

/// Prints the findings: a line each on standard error, or one JSON object on standard output.
/// @return failure.status.
int report_failure(const PolicyFailure& failure, Format format);

}  // namespace sallyport
