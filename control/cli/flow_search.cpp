#include "control/cli/flow_search.h"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "control/common/unique_fd.h"

namespace sallyport {
namespace {

bool is_compressed_file(const std::filesystem::path& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  std::array<char, 4> start{};
  return fd && ::pread(fd.get(), start.data(), start.size(), 0) == 4 &&
         std::string_view(start.data(), start.size()) == "\x28\xb5\x2f\xfd";
}

}  // namespace

FlowSearch::FlowSearch(std::filesystem::path log, FlowFilter filter)
    : log_(log), filter_(std::move(filter)), tail_(std::move(log)) {}

std::expected<void, std::string> FlowSearch::open(bool waits) {
  closed_ = log_ == "-" || is_compressed_file(log_);
  if (closed_ && waits) {
    return std::unexpected((log_ == "-" ? "standard input" : log_.string()) +
                           " cannot be followed: give the log that the gateway writes, or leave "
                           "--follow out");
  }
  if (closed_) return {};
  if (auto opened = tail_.open(); !opened) return opened;
  if (tail_.is_open() || !tail_.history().empty()) return {};
  if (waits) {
    notes_.push_back(log_.string() + " does not exist yet: waiting for it");
    return {};
  }
  return std::unexpected("flow log " + log_.string() +
                         " does not exist; give paths.flow_log of gateway.yaml with --log");
}

void FlowSearch::take_line(std::string_view line, const Take& take) {
  if (line.empty() || !filter_.could_match(line)) return;
  const auto record = read_logged_record(line);
  if (!record) {
    ++unreadable_lines_;
  } else if (filter_.matches(*record)) {
    take(*record, line);
  }
}

/// The newest `rotated` files, and the log itself.
void FlowSearch::read_files(size_t rotated, const Take& take) {
  const TakeLine lines = [this, &take](std::string_view line) { take_line(line, take); };
  unreadable_lines_ = 0;
  const auto note = [this](std::string problem) {
    if (!problem.empty()) notes_.push_back(std::move(problem));
  };
  if (log_ == "-") return note(read_whole_log(STDIN_FILENO, "standard input", lines));
  if (closed_) return note(read_whole_log(log_, lines));
  const auto& history = tail_.history();
  for (size_t i = history.size() - rotated; i < history.size(); ++i) {
    note(read_whole_log(history[i], lines));
  }
  tail_.rewind();
  tail_.read(lines);
}

std::unique_ptr<FlowOutput> FlowSearch::read(size_t enough, const MakeOutput& make) {
  const size_t all = closed_ ? 0 : tail_.history().size();
  size_t rotated = enough == SIZE_MAX ? all : 0;
  for (;;) {
    const std::vector<std::string> notes = notes_;
    auto output = make();
    read_files(rotated, [&output](const LoggedRecord& record, std::string_view line) {
      output->add(record, line);
    });
    if (rotated == all || output->kept() >= enough) return output;
    notes_ = notes;  // They are found again.
    rotated = std::min(all, std::max<size_t>(1, rotated * 2));
  }
}

void FlowSearch::follow(const Take& take) {
  tail_.step([this, &take](std::string_view line) { take_line(line, take); },
             [this](const std::string& what) { notes_.push_back(what); });
}

std::vector<std::string> FlowSearch::take_notes() {
  if (unreadable_lines_ != 0) {
    notes_.push_back(fmt::format("{} {} no record of a flow log and left out", unreadable_lines_,
                                 unreadable_lines_ == 1 ? "line is" : "lines are"));
    unreadable_lines_ = 0;
  }
  return std::exchange(notes_, {});
}

}  // namespace sallyport
