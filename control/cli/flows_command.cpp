#include <spdlog/fmt/fmt.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "control/cli/commands.h"
#include "control/cli/flow_explain.h"
#include "control/cli/flow_search.h"
#include "control/cli/text_table.h"

namespace sallyport {
namespace {

constexpr uint32_t kFollowedLines = 10;  // As tail has it.
constexpr auto kLookEvery = std::chrono::milliseconds(200);

unsigned line_width() {
  constexpr unsigned kWidest = 200;
  winsize size{};
  const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0;
  return known ? std::clamp<unsigned>(size.ws_col, kLeastFlowLine, kWidest) : FlowLineStyle{}.width;
}

void write_out(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

void print_notes(FlowSearch& search) {
  for (const std::string& one : search.take_notes()) {
    fmt::print(stderr, "sallyport: note: {}\n", one);
  }
}

/// Until it is interrupted, or standard output can take no more.
int follow(FlowSearch& search, FlowOutput& output) {
  const auto add = [&output](const LoggedRecord& record, std::string_view line) {
    output.add(record, line);
  };
  while (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) {
    std::this_thread::sleep_for(kLookEvery);
    search.follow(add);
    print_notes(search);
  }
  print_error("cannot write to standard output");
  return kExitBadInput;
}

int show(const FlowOptions& options, const FlowFilter& filter, Format format) {
  FlowSearch search(options.log, filter);
  if (const auto opened = search.open(options.follow); !opened) {
    print_error(opened.error());
    return kExitBadInput;
  }
  size_t last = SIZE_MAX;
  if (options.follow) last = kFollowedLines;
  if (options.last) last = *options.last;
  size_t found = 0;
  const auto count = [&found](const std::string& text) {
    ++found;
    write_out(text);
  };
  const auto output = search.read(last, [&]() -> std::unique_ptr<FlowOutput> {
    if (format == Format::json) return json_flow_output(last, count);
    const FlowLineStyle style{.width = line_width(), .colours = colours_wanted(STDOUT_FILENO)};
    return text_flow_output({.style = style, .last = last, .every_record = filter.names_events()},
                            count);
  });
  output->go_live();
  print_notes(search);
  if (options.follow) return follow(search, *output);
  if (found == 0 && options.id) {
    print_error("no record of flow " + *options.id + " in " + options.log.string() +
                " and what was rotated of it");
    return kExitNo;
  }
  return kExitGood;
}

/// Of what matches, the last flow.
int explain(const CliOptions& options, const FlowFilter& filter) {
  const FlowOptions& query = options.flow_query;
  FlowSearch search(query.log, filter);
  if (const auto opened = search.open(false); !opened) {
    print_error(opened.error());
    return kExitBadInput;
  }
  const FlowCase* which = nullptr;
  // The records of one flow may lie in several files; otherwise the latest that matches will do.
  const auto kept = search.read(query.id ? SIZE_MAX : 1, [&which] {
    auto made = std::make_unique<FlowCase>();
    which = made.get();
    return made;
  });
  print_notes(search);
  if (which != nullptr && which->found()) return explain_flow(options, *which);
  print_error((query.id ? "no record of flow " + *query.id : "no flow that matches") + " in " +
              query.log.string() + " and what was rotated of it");
  return kExitNo;
}

}  // namespace

int run_flows(const CliOptions& options) {
  const auto filter = FlowFilter::make(options.flow_query);
  if (!filter) {
    print_error(filter.error());
    return kExitBadInput;
  }
  if (!options.flow_query.explain) {
    return show(options.flow_query, *filter, format_of_output(options));
  }
  return explain(options, *filter);
}

}  // namespace sallyport
