#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <iterator>
#include <system_error>

#include "control/cli/commands.h"
#include "control/cli/policy_input.h"
#include "control/cli/text_table.h"
#include "control/common/json_text.h"
#include "control/common/system.h"
#include "policy/compile/lint.h"
#include "policy/yaml/render.h"

namespace sallyport {
namespace {

std::string summary(const CompiledPolicy& policy) {
  return fmt::format(
      "{}, {}, {}, revision {}, image {}", count_text(policy.documents, "policy", "policies"),
      count_text(policy.rules, "rule", "rules"), count_text(policy.names, "name", "names"),
      revision_text(policy.revision), bytes_text(policy.image.size()));
}

Json summary_json(const CompiledPolicy& policy) {
  return {{"ok", true},
          {"policies", policy.documents},
          {"rules", policy.rules},
          {"names", policy.names},
          {"revision", revision_text(policy.revision)},
          {"image_bytes", policy.image.size()}};
}

/// Straight into a pipe or a device; any other file is replaced whole or not at all.
std::expected<void, std::string> write_image(const std::filesystem::path& path,
                                             const std::vector<uint8_t>& image) {
  std::error_code ignored;
  const auto type = std::filesystem::status(path, ignored).type();
  const bool in_place = path == "-" || (type != std::filesystem::file_type::not_found &&
                                        type != std::filesystem::file_type::regular);
  if (!in_place) return write_file_atomically(path, image, 0644);
  const UniqueFd opened(path == "-" ? ::dup(STDOUT_FILENO)
                                    : ::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  const int error = opened ? write_all(opened.get(), image) : errno;
  if (error == 0) return {};
  return std::unexpected("cannot write " + path.string() + ": " + errno_text(error));
}

/// What a line of source may take of a terminal beside its number.
unsigned excerpt_width() {
  constexpr unsigned kMargin = 14;
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 2 * kMargin;
  return known ? size.ws_col - kMargin : RenderStyle{}.width;
}

/// Adds what compiling found, but for what a file that cannot be read may hold.
void add_findings(PolicyFailure& failure, std::vector<Diagnostic> found) {
  if (!failure.diagnostics.empty()) {
    std::erase_if(found,
                  [](const Diagnostic& one) { return one.code == "E024" || one.code == "E028"; });
  }
  std::ranges::move(found, std::back_inserter(failure.diagnostics));
}

}  // namespace

std::expected<std::vector<SourceFile>, PolicyFailure> read_policy(const CliOptions& options) {
  SourcesRead read = read_readable_sources(options.policy);
  if (read.unreadable.empty()) return std::move(read.sources);
  return std::unexpected(PolicyFailure{.status = kExitBadInput,
                                       .diagnostics = std::move(read.unreadable),
                                       .sources = std::move(read.sources)});
}

std::expected<CheckedFiles, PolicyFailure> check_files(const CliOptions& options) {
  auto sources = read_policy(options);
  PolicyFailure failure;
  if (!sources) {
    failure = std::move(sources.error());
    if (failure.sources.empty()) return std::unexpected(std::move(failure));
  } else {
    failure.sources = std::move(*sources);
  }
  auto models = load_policies(failure.sources);
  if (!models) {
    add_findings(failure, std::move(models.error()));
    return std::unexpected(std::move(failure));
  }
  auto policy = compile_models(*models);
  if (policy && failure.diagnostics.empty()) {
    return CheckedFiles{.sources = std::move(failure.sources),
                        .models = std::move(*models),
                        .policy = std::move(*policy)};
  }
  if (!policy) add_findings(failure, std::move(policy.error()));
  return std::unexpected(std::move(failure));
}

std::expected<CompiledPolicy, PolicyFailure> compile_files(const CliOptions& options) {
  auto files = check_files(options);
  if (!files) return std::unexpected(std::move(files.error()));
  return std::move(files->policy);
}

void print_findings(std::span<const Diagnostic> diagnostics, std::span<const SourceFile> sources) {
  fmt::print(stderr, "{}",
             render(diagnostics, sources,
                    {.colours = colours_wanted(STDERR_FILENO), .width = excerpt_width()}));
}

int report_failure(const PolicyFailure& failure, Format format) {
  if (format == Format::json) {
    fmt::print("{}\n",
               dump({{"ok", false}, {"diagnostics", diagnostics_json(failure.diagnostics)}}));
  } else {
    print_findings(failure.diagnostics, failure.sources);
  }
  return failure.status;
}

namespace {

void print_warnings(const LintReport& lint, std::span<const SourceFile> sources) {
  print_findings(lint.warnings, sources);
  if (lint.unproved_rules == 0) return;
  fmt::print(stderr, "note: {} too complex to say whether earlier rules cover all of it\n",
             count_text(lint.unproved_rules, "rule is", "rules are"));
}

}  // namespace

int run_policy_check(const CliOptions& options) {
  const auto files = check_files(options);
  if (!files) return report_failure(files.error(), options.format);
  const LintReport lint = lint_policies(files->models, std::time(nullptr));
  if (options.format == Format::json) {
    Json out = summary_json(files->policy);
    out["diagnostics"] = diagnostics_json(lint.warnings);
    out["unproved_rules"] = lint.unproved_rules;
    fmt::print("{}\n", dump(out));
  } else {
    print_warnings(lint, files->sources);
    const auto warnings = lint.warnings.size();
    fmt::print("ok: {}{}\n", summary(files->policy),
               warnings == 0 ? "" : ", " + count_text(warnings, "warning", "warnings"));
  }
  return options.strict && !lint.warnings.empty() ? kExitNo : kExitGood;
}

int run_policy_compile(const CliOptions& options) {
  const auto policy = compile_files(options);
  if (!policy) return report_failure(policy.error(), Format::text);
  if (const auto written = write_image(options.output, policy->image); !written) {
    print_error(written.error());
    return kExitBadInput;
  }
  // On standard error: standard output may be the image.
  fmt::print(stderr, "wrote {}: {}\n", options.output.string(), summary(*policy));
  return kExitGood;
}

}  // namespace sallyport
