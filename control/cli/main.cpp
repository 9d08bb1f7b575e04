#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <map>
#include <string>

#include "control/cli/commands.h"

namespace sallyport {
namespace {

using Run = int (*)(const CliOptions&);

void add_policy_files(CLI::App& command, CliOptions& options) {
  command.add_option("files", options.policy, "Policy files, or folders of *.yaml and *.yml")
      ->required()
      ->type_name("FILE...");
}

void add_format(CLI::App& command, CliOptions& options) {
  command.add_option("--format", options.format, "How to print the result")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Format>{{"text", Format::text}, {"json", Format::json}}))
      ->option_text("text|json");
}

void add_socket(CLI::App& command, CliOptions& options) {
  command.add_option("--socket", options.control_socket, "The agent's control socket")
      ->capture_default_str();
}

void add_stats(CLI::App& command, CliOptions& options) {
  command.add_option("--stats", options.stats, "The data plane's stats segment")
      ->capture_default_str();
}

CLI::App& add_command(CLI::App& parent, const char* name, const char* help, Run run, Run& chosen) {
  CLI::App* command = parent.add_subcommand(name, help);
  command->callback([run, &chosen] { chosen = run; });
  return *command;
}

void add_identities(CLI::App& command, CliOptions& options) {
  command
      .add_option("--identities", options.identities,
                  "An identity feed: labels of source addresses; unknown without one")
      ->type_name("FILE");
}

void add_policy_questions(CLI::App& policy, CliOptions& options, Run& chosen) {
  auto& explain = add_command(policy, "explain", "Say what happens to a flow, and why",
                              run_policy_explain, chosen);
  add_policy_files(explain, options);
  explain
      .add_option("--flow", options.flow,
                  "The flow, as in 'src=10.1.2.3 dst=203.0.113.9:443 tls.sni=pypi.org'")
      ->required();
  add_identities(explain, options);
  explain.add_flag("--all", options.all, "Every rule that does not match, not only the nearest");
  add_format(explain, options);
  auto& test = add_command(policy, "test", "Run the tests in files of kind PolicyTest",
                           run_policy_test, chosen);
  add_policy_files(test, options);
  add_identities(test, options);
  test.add_option("--junit", options.junit, "Also write the results as JUnit XML")
      ->type_name("FILE");
  add_format(test, options);
}

void add_policy_diff(CLI::App& policy, CliOptions& options, Run& chosen) {
  auto& diff = add_command(policy, "diff",
                           "Say which flows a new policy treats differently; exits with 1 when it "
                           "allows any that the old one denies",
                           run_policy_diff, chosen);
  diff.add_option("old", options.old_policy, "The policy so far: a file, or a folder of *.yaml")
      ->required()
      ->type_name("OLD");
  diff.add_option("new", options.new_policy, "The policy to come")->required()->type_name("NEW");
  diff.add_option("--flows", options.records,
                  "Flow records, one JSON a line: which of them would change; - for standard input")
      ->type_name("FILE");
  add_identities(diff, options);
  diff.add_flag("--all", options.all, "Every recorded flow that would change");
  add_format(diff, options);
}

void add_policy_commands(CLI::App& app, CliOptions& options, Run& chosen) {
  CLI::App* policy = app.add_subcommand("policy", "Work on policy files; needs no daemon");
  policy->require_subcommand(1);
  auto& check = add_command(*policy, "check", "Find errors and rules that do not do what they say",
                            run_policy_check, chosen);
  add_policy_files(check, options);
  check.add_flag("--strict", options.strict, "Exit with 1 on warnings, too");
  add_format(check, options);
  auto& compile =
      add_command(*policy, "compile", "Write a policy image", run_policy_compile, chosen);
  add_policy_files(compile, options);
  compile.add_option("-o,--output", options.output, "The image file; - for standard output")
      ->required();
  add_policy_questions(*policy, options, chosen);
  add_policy_diff(*policy, options, chosen);
}

void add_daemon_commands(CLI::App& app, CliOptions& options, Run& chosen) {
  auto& push =
      add_command(app, "push", "Put a policy in force through the agent", run_push, chosen);
  add_policy_files(push, options);
  add_socket(push, options);
  add_format(push, options);
  auto& status =
      add_command(app, "status", "Is it running, and with which policy", run_status, chosen);
  add_stats(status, options);
  add_socket(status, options);
  add_format(status, options);
  auto& drops = add_command(app, "drops", "Dropped packets by reason and core", run_drops, chosen);
  auto& counters = add_command(app, "counters", "Every counter, by core", run_counters, chosen);
  for (CLI::App* command : {&drops, &counters}) {
    add_stats(*command, options);
    add_format(*command, options);
    command->add_flag("--all", options.all, "Also those that are zero");
  }
}

void add_replay(CLI::App& app, CliOptions& options, Run& chosen) {
  auto& replay = add_command(app, "replay", "Run the data plane's pipeline over a capture",
                             run_replay, chosen);
  replay.add_option("--policy", options.policy, "Policy files or folders")
      ->required()
      ->type_name("FILE...");
  replay.add_option("--pcap", options.captures, "Captures, or folders of them")
      ->required()
      ->type_name("FILE...");
  replay.add_option("--out", options.flows, "Where flow records go, one JSON a line")
      ->capture_default_str();
  replay.add_option("--write-pcap", options.write_pcap, "Write what would be forwarded");
  replay.add_option("--checksums", options.checksums, "auto (the default), verify or ignore")
      ->check(CLI::IsMember({"auto", "verify", "ignore"}));
}

int run(int argc, char** argv) {
  CliOptions options;
  Run chosen = nullptr;
  CLI::App app("sallyport: check, push and watch egress policy");
  app.set_version_flag("--version", std::string("sallyport ") + SALLYPORT_VERSION);
  app.require_subcommand(1);
  add_policy_commands(app, options, chosen);
  add_daemon_commands(app, options, chosen);
  add_replay(app, options, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitGood : kExitBadInput;
  }
  const int status = chosen(options);
  if (std::fflush(stdout) != 0) {
    print_error("cannot write to standard output");
    return kExitBadInput;
  }
  return status;
}

}  // namespace
}  // namespace sallyport

int main(int argc, char** argv) {
  try {
    return sallyport::run(argc, argv);
  } catch (const std::exception& error) {
    static_cast<void>(std::fprintf(stderr, "sallyport: error: %s\n", error.what()));
    return sallyport::kExitBadInput;
  }
}
