// sallyport-dataplane: the packet path. `replay` is what the command line's `sallyport replay`
// runs.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <map>

#include "dataplane/io/config.h"
#include "dataplane/io/gateway.h"
#include "dataplane/io/replay.h"

namespace {

using namespace sallyport;

constexpr int kBadInput = 2;

int run_gateway(const std::string& path) {
  // A flow log or a standard error that is a pipe loses its reader: an error of that write, which
  // is counted, and never the end of the packet path. Before any thread exists.
  std::signal(SIGPIPE, SIG_IGN);
  const auto config = load_gateway_config(path);
  if (!config) {
    for (const Diagnostic& diagnostic : config.error()) {
      std::fprintf(stderr, "%s\n", to_string(diagnostic).c_str());
    }
    return kBadInput;
  }
  auto gateway = Gateway::create(*config);
  if (!gateway) {
    std::fprintf(stderr, "sallyport-dataplane: %s\n", gateway.error().c_str());
    return kBadInput;
  }
  (*gateway)->run();
  return 0;
}

int run(int argc, char** argv) {
  CLI::App app("sallyport data plane: decides and forwards every packet that leaves a node");
  std::string config = "/etc/sallyport/gateway.yaml";
  app.add_option("--config", config, "Configuration file")->capture_default_str();
  app.set_version_flag("--version", SALLYPORT_VERSION);

  ReplayOptions options;
  const std::map<std::string, ChecksumMode> modes{{"auto", ChecksumMode::automatic},
                                                  {"verify", ChecksumMode::verify},
                                                  {"ignore", ChecksumMode::ignore}};
  CLI::App* replay_command =
      app.add_subcommand("replay", "Run a capture (used by sallyport replay)");
  replay_command->add_option("--image-fd", options.image_fd)->required();
  replay_command->add_option("--feed-fd", options.feed_fd);
  replay_command->add_option("--pcap", options.captures)->required();
  replay_command->add_option("--out", options.flows);
  replay_command->add_option("--write-pcap", options.write_capture);
  replay_command->add_option("--resolver", options.resolvers);
  replay_command->add_option("--checksums", options.checksums)->transform(CLI::Transformer(modes));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kBadInput;
  }
  return replay_command->parsed() ? replay(options) : run_gateway(config);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    spdlog::set_default_logger(spdlog::stderr_logger_mt("dataplane"));
    spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sallyport-dataplane: %s\n", error.what());
    return kBadInput;
  }
}
