#include <signal.h>
#include <spdlog/fmt/fmt.h>

#include <chrono>
#include <thread>

#include "control/cli/commands.h"
#include "control/common/json_text.h"
#include "control/top/top_json.h"
#include "control/top/top_model.h"
#include "control/top/top_sample.h"
#include "control/top/top_terminal.h"
#include "control/top/top_view.h"

namespace sallyport {
namespace {

/// Two samples of one segment, an interval apart: when a data plane takes the place of another
/// between them, they are taken again.
TopModel sample_once(const CliOptions& options) {
  constexpr int kTries = 3;
  TopSampler sampler(options.stats);
  TopHistory history;
  TopModel model = history.add(sampler.sample());
  for (int i = 0; i < kTries && model.problem.empty() && model.seconds == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::duration<double>(options.interval_seconds));
    model = history.add(sampler.sample());
  }
  return model;
}

int top_once(const CliOptions& options) {
  const TopModel model = sample_once(options);
  if (!model.problem.empty()) {
    print_error(model.problem);
    return kExitBadInput;
  }
  if (options.format == Format::json) {
    fmt::print("{}\n", dump_pretty(top_json(model)));
  } else {
    fmt::print("{}", top_text_page(model));
  }
  return model.state == TopState::running ? kExitGood : kExitNo;
}

}  // namespace

int run_top(const CliOptions& options) {
  if (options.format == Format::json && !options.once) {
    print_error("--format json prints one interval; add --once");
    return kExitBadInput;
  }
  if (options.once) return top_once(options);
  const auto ended = run_top_terminal(options.stats, options.interval_seconds);
  if (!ended) {
    print_error(ended.error());
    return kExitBadInput;
  }
  // As whoever sent the signal expects of a program that it ends.
  if (*ended != 0) {
    ::signal(*ended, SIG_DFL);  // ncurses has put a handler of its own there
    ::raise(*ended);
  }
  return kExitGood;
}

}  // namespace sallyport
