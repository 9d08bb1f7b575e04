#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <system_error>

#include "control/cli/commands.h"
#include "control/cli/dataplane_program.h"
#include "control/cli/loaded_policy.h"
#include "control/cli/policy_input.h"
#include "control/common/system.h"
#include "policy/runtime/frames.h"
#include "policy/runtime/identity_codec.h"

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

/// `feed_fd`: -1 for none.
std::vector<std::string> replay_arguments(const CliOptions& options, int image_fd, int feed_fd) {
  std::vector<std::string> arguments{"sallyport-dataplane",    "replay", "--image-fd",
                                     std::to_string(image_fd), "--out",  options.flows};
  for (const auto& capture : options.captures) {
    arguments.insert(arguments.end(), {"--pcap", capture.string()});
  }
  if (feed_fd >= 0) arguments.insert(arguments.end(), {"--feed-fd", std::to_string(feed_fd)});
  if (!options.write_pcap.empty()) {
    arguments.insert(arguments.end(), {"--write-pcap", options.write_pcap.string()});
  }
  for (const std::string& resolver : options.resolvers) {
    arguments.insert(arguments.end(), {"--resolver", resolver});
  }
  if (!options.checksums.empty()) {
    arguments.insert(arguments.end(), {"--checksums", options.checksums});
  }
  return arguments;
}

/// A descriptor that survives the exec, as the ones it is for must. @return it, or what is wrong.
std::expected<int, std::string> hand_over(std::span<const uint8_t> bytes) {
  const auto made = make_sealed_memfd(bytes);
  if (made && ::fcntl(*made, F_SETFD, 0) == 0) return *made;
  return std::unexpected("cannot hand over the policy: " + errno_text(made ? errno : made.error()));
}

/// The feed that --identities names, handed over; -1 without one.
std::expected<int, std::string> hand_over_feed(const std::vector<Identity>& identities) {
  const auto bytes = encode_identities(make_identity_feed(identities));
  if (bytes) return hand_over(*bytes);
  return std::unexpected("the identity feed cannot be used: " +
                         std::string(explain(bytes.error())));
}

}  // namespace

int run_replay(const CliOptions& options) {
  if (const std::string problem = find_problem(options); !problem.empty()) {
    print_error(problem);
    return kExitBadInput;
  }
  const auto policy = compile_files(options);
  if (!policy) return report_failure(policy.error(), Format::text);
  const auto identities = load_identity_option(options);
  if (!identities) return report_failure(identities.error(), Format::text);
  const auto image = hand_over(policy->image);
  const std::optional<std::vector<Identity>>& labels = *identities;
  const auto feed = labels ? hand_over_feed(*labels) : -1;
  if (!image || !feed) {
    print_error(image ? feed.error() : image.error());
    return kExitBadInput;
  }
  std::vector<std::string> arguments = replay_arguments(options, *image, *feed);
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
