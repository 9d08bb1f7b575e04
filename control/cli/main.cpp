#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <map>
#include <string>

#include "control/cli/commands.h"
#include "policy/runtime/ip_address.h"

namespace sallyport {
namespace {

using Run = int (*)(const CliOptions&);

void add_policy_files(CLI::App& command, CliOptions& options) {
  command.add_option("files", options.policy, "Policy files, or folders of *.yaml and *.yml")
      ->required()
      ->type_name("FILE...");
}

CLI::Option* transformed_format(CLI::Option* option) {
  return option
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Format>{{"text", Format::text}, {"json", Format::json}}))
      ->option_text("text|json");
}

void add_format(CLI::App& command, CliOptions& options) {
  transformed_format(command.add_option("--format", options.format, "How to print the result"));
}

void add_format_of_output(CLI::App& command, CliOptions& options, const std::string& help) {
  transformed_format(command.add_option("--format", options.asked_format,
                                        help + ". text on a terminal, otherwise json"));
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
  status.add_flag("--books", options.show_books,
                  "Where every packet came from and where it went; exits with 1 when any is amiss");
  status
      .add_option("--budgets", options.budgets, "Where the data plane keeps what budgets let out")
      ->capture_default_str();
  add_socket(status, options);
  add_format(status, options);
  auto& drops = add_command(app, "drops", "Dropped packets by reason and core", run_drops, chosen);
  auto& counters = add_command(app, "counters", "Every counter, by core", run_counters, chosen);
  for (CLI::App* command : {&drops, &counters}) {
    add_stats(*command, options);
    command->add_flag("--all", options.all, "Also those that are zero");
  }
  add_format_of_output(drops, options, "How to print the result");
  add_format(counters, options);
  drops.add_flag("-f,--follow", options.follow,
                 "Then the packets of each second, by reason; over restarts of the data plane");
  auto& top = add_command(app, "top", "Rates and latencies of each core, live; ? for help", run_top,
                          chosen);
  add_stats(top, options);
  add_format(top, options);
  top.add_flag("--once", options.once, "Print one interval and end: for scripts");
  top.add_option("--interval", options.interval_seconds, "Seconds between two samples, 0.1 to 60")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 60.0))
      ->check(CLI::Validator(
          [](const std::string& text) {
            return text.find_first_of("nN") == std::string::npos ? "" : "not a number: " + text;
          },
          ""))
      ->type_name("SECONDS");
}

void add_flow_filters(CLI::App& flows, FlowOptions& query) {
  const char* group = "Which (all that are given must hold)";
  const auto add = [&flows, group](const char* name, auto& value, const char* help) {
    return flows.add_option(name, value, help)->group(group);
  };
  flows.add_flag("--denied", query.denied, "Denied, or would be but for audit")->group(group);
  add("--rule", query.rule,
      "Decided by this rule: RULE, POLICY/RULE or POLICY/*; where no rule decided, the reason, as "
      "default_deny")
      ->type_name("RULE");
  add("--host", query.host, "To this name; *.x is every name below x")->type_name("NAME");
  add("--src", query.src, "From this address or block")->type_name("CIDR");
  add("--dst", query.dst, "To this address or block")->type_name("CIDR");
  add("--id", query.id, "Of this flow: the number in a 403, flow_id in the log")->type_name("ID");
  add("--event", query.events, "verdict, request, start, end or gap; several with commas")
      ->delimiter(',')
      ->type_name("EVENT");
}

void add_flow_explanation(CLI::App& flows, CliOptions& options) {
  const char* group = "Why";
  FlowOptions& query = options.flow_query;
  auto* explain =
      flows
          .add_flag("--explain", query.explain,
                    "The last flow that matches: its facts, what decided it, and what would have "
                    "allowed it; by the policy of its revision, which the agent has kept")
          ->group(group);
  for (const char* other : {"--follow", "--last", "--event"}) {
    explain->excludes(flows.get_option(other));
  }
  flows.add_option("--policy", options.policy, "That policy, where the agent has it no more")
      ->group(group)
      ->needs(explain)
      ->type_name("FILE...");
  flows
      .add_option("--identities", options.identities,
                  "Labels of sources; otherwise the feed that the agent has stored last")
      ->group(group)
      ->needs(explain)
      ->type_name("FILE");
  flows.add_option("--state-dir", query.state_dir, "Where the agent keeps policies")
      ->group(group)
      ->needs(explain)
      ->capture_default_str();
}

void add_flows(CLI::App& app, CliOptions& options, Run& chosen) {
  auto& flows = add_command(app, "flows", "Read the flow log: who went where, and what decided",
                            run_flows, chosen);
  FlowOptions& query = options.flow_query;
  flows
      .add_option("--log", query.log,
                  "The log; rotated files beside it count as history; - for standard input")
      ->capture_default_str()
      ->type_name("FILE");
  flows.add_flag("-f,--follow", query.follow,
                 "Go on with what is written, through rotation; begins with the last 10");
  flows.add_option("--last", query.last, "So many of the latest only")->type_name("N");
  add_format_of_output(flows, options,
                       "text: a line for each flow and each further request; json: the records as "
                       "they are");
  add_flow_filters(flows, query);
  add_flow_explanation(flows, options);
  flows.footer(
      "Exits with 0, also when nothing matches; with 1 when --id or --explain finds no such "
      "flow.\n");
}

void add_replay(CLI::App& app, CliOptions& options, Run& chosen) {
  auto& replay = add_command(app, "replay", "Run the data plane's pipeline over a capture",
                             run_replay, chosen);
  replay.add_option("--policy", options.policy, "Policy files or folders")
      ->required()
      ->type_name("FILE...");
  add_identities(replay, options);
  replay.add_option("--pcap", options.captures, "Captures, or folders of them")
      ->required()
      ->type_name("FILE...");
  replay.add_option("--out", options.flows, "Where flow records go, one JSON a line")
      ->capture_default_str();
  replay.add_option("--write-pcap", options.write_pcap, "Write what would be forwarded");
  replay
      .add_option("--resolver", options.resolvers,
                  "Resolvers whose answers count for destination bindings")
      ->type_name("ADDRESS...")
      ->check(CLI::Validator(
          [](const std::string& text) {
            return parse_ip_address(text) ? std::string() : "not an IP address: " + text;
          },
          "ADDRESS"));
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
  add_flows(app, options, chosen);
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
