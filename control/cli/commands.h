#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "control/cli/flow_options.h"

namespace sallyport {

/// What every subcommand exits with.
enum Exit : int {
  kExitGood = 0,
  kExitNo = 1,        ///< The answer is no: errors in the policy, a refused push, a stalled core.
  kExitBadInput = 2,  ///< Usage, a file that cannot be read, a daemon that cannot be asked.
};

enum class Format { text, json };

/// All subcommands' options; each reads the ones it has on its command line.
struct CliOptions {
  std::vector<std::filesystem::path> policy;
  std::filesystem::path old_policy;
  std::filesystem::path new_policy;
  std::filesystem::path output;
  std::filesystem::path control_socket = "/run/sallyport/control.sock";
  std::filesystem::path stats = "/run/sallyport/stats";
  std::filesystem::path budgets = "/var/lib/sallyport/budgets.state";
  std::vector<std::filesystem::path> captures;
  std::string flows = "-";
  std::string records;
  std::filesystem::path write_pcap;
  std::string checksums;
  std::vector<std::string> resolvers;
  std::string flow;
  std::filesystem::path identities;
  std::filesystem::path junit;
  Format format = Format::text;
  std::optional<Format> asked_format;  ///< Of commands that go by what standard output is.
  FlowOptions flow_query;
  bool all = false;
  bool show_books = false;
  bool follow = false;
  bool strict = false;
  bool once = false;
  double interval_seconds = 1;
};

int run_policy_check(const CliOptions& options);
int run_policy_compile(const CliOptions& options);
int run_policy_diff(const CliOptions& options);
int run_policy_explain(const CliOptions& options);
int run_policy_test(const CliOptions& options);
int run_push(const CliOptions& options);
int run_status(const CliOptions& options);
/// `status --books`.
int run_books(const CliOptions& options);
int run_drops(const CliOptions& options);
int run_flows(const CliOptions& options);
int run_counters(const CliOptions& options);
int run_top(const CliOptions& options);
/// Becomes `sallyport-dataplane replay`; returns only when it cannot.
int run_replay(const CliOptions& options);

/// What was asked for; else text on a terminal, JSON for a pipe or a file.
Format format_of_output(const CliOptions& options);

/// "sallyport: error: …" on standard error.
void print_error(const std::string& what);

}  // namespace sallyport
