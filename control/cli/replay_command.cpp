#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "control/cli/commands.h"
#include "control/cli/dataplane_program.h"
#include "control/cli/policy_input.h"
#include "control/common/system.h"
#include "policy/runtime/frames.h"

namespace sallyport {
namespace {

/// Why the only capture cannot be read, or "". One of many stops no other: of those the data plane
/// reports.
std::string input_problem(const std::vector<std::filesystem::path>& captures) {
  if (captures.size() > 1 || ::access(captures.front().c_str(), R_OK) == 0) return "";
  return "cannot read the capture " + captures.front().string() + ": " + errno_text(errno);
}

/// Whether `path` is the capture `input`, or one in the folder `input`.
bool is_read_from(const std::filesystem::path& path, const std::filesystem::path& input) {
  std::error_code ignored;
  if (std::filesystem::equivalent(path, input, ignored)) return true;
  if (!std::filesystem::is_directory(input, ignored)) return false;
  const std::string extension = path.extension();
  const bool is_capture = extension == ".pcap" || extension == ".pcapng" || extension == ".cap";
  return is_capture && std::filesystem::equivalent(path, input / path.filename(), ignored);
}

/// Why `path` cannot be written, or would destroy the capture that is read; otherwise "".
std::string output_problem(const char* option, const std::filesystem::path& path,
                           const std::vector<std::filesystem::path>& inputs) {
  const std::string start = std::string("cannot write ") + option + " " + path.string() + ": ";
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return start + "it is a folder";
  if (std::filesystem::exists(path, ignored)) {
    for (const auto& input : inputs) {
      if (is_read_from(path, input)) return start + "it is the capture that is read";
    }
    return ::access(path.c_str(), W_OK) == 0 ? "" : start + errno_text(errno);
  }
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  if (::access(folder.c_str(), W_OK | X_OK) == 0) return "";
  return start + "folder " + folder.string() + ": " + errno_text(errno);
}

std::string find_problem(const CliOptions& options) {
  std::string problem = input_problem(options.captures);
  if (problem.empty() && options.flows != "-") {
    problem = output_problem("--out", options.flows, options.captures);
  }
  if (problem.empty() && !options.write_pcap.empty()) {
    problem = output_problem("--write-pcap", options.write_pcap, options.captures);
  }
  return problem;
}

std::vector<std::string> replay_arguments(const CliOptions& options, int image_fd) {
  std::vector<std::string> arguments{"sallyport-dataplane",    "replay", "--image-fd",
                                     std::to_string(image_fd), "--out",  options.flows};
  for (const auto& capture : options.captures) {
    arguments.insert(arguments.end(), {"--pcap", capture.string()});
  }
  if (!options.write_pcap.empty()) {
    arguments.insert(arguments.end(), {"--write-pcap", options.write_pcap.string()});
  }
  if (!options.checksums.empty()) {
    arguments.insert(arguments.end(), {"--checksums", options.checksums});
  }
  return arguments;
}

}  // namespace

int run_replay(const CliOptions& options) {
  if (const std::string problem = find_problem(options); !problem.empty()) {
    print_error(problem);
    return kExitBadInput;
  }
  const auto policy = compile_files(options);
  if (!policy) return report_failure(policy.error(), Format::text);
  const auto image = make_sealed_memfd(policy->image);
  // The one descriptor that is to survive the exec.
  if (!image || ::fcntl(*image, F_SETFD, 0) != 0) {
    print_error("cannot hand over the policy: " + errno_text(image ? errno : image.error()));
    return kExitBadInput;
  }
  std::vector<std::string> arguments = replay_arguments(options, *image);
  std::vector<char*> pointers;
  for (std::string& one : arguments) pointers.push_back(one.data());
  pointers.push_back(nullptr);
  const std::string program = find_dataplane();
  ::execvp(program.c_str(), pointers.data());
  print_error("cannot run " + program + ": " + errno_text(errno) +
              "; install it beside sallyport or on $PATH");
  return kExitBadInput;
}

}  // namespace sallyport
