#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "control/cli/flow_filter.h"
#include "control/cli/flow_output.h"
#include "control/cli/log_tail.h"

namespace sallyport {

/// Reads a flow log with its history, and hands on what matches. One thread.
class FlowSearch {
 public:
  /// Given a record that matches, and its line.
  using Take = std::function<void(const LoggedRecord& record, std::string_view line)>;
  /// Makes a place for what is found, empty.
  using MakeOutput = std::function<std::unique_ptr<FlowOutput>()>;

  /// @param log  The log; "-" for standard input, which has no history.
  FlowSearch(std::filesystem::path log, FlowFilter filter);

  /// @return what is wrong with the log. One that is not there is no fault for who `waits` for it.
  std::expected<void, std::string> open(bool waits);

  /// Reads what there is by now into an output. With `enough`, rotated files are read only as far
  /// back as it takes to find as many lines.
  std::unique_ptr<FlowOutput> read(size_t enough, const MakeOutput& make);
  /// Hands on what was written since.
  void follow(const Take& take);

  /// What a reader should know, since the last call: lines that are no records, files that could
  /// not be read.
  std::vector<std::string> take_notes();

 private:
  void read_files(size_t rotated, const Take& take);
  void take_line(std::string_view line, const Take& take);

  std::filesystem::path log_;
  FlowFilter filter_;
  LogTail tail_;
  bool closed_ = false;  ///< Standard input, or a compressed file: nothing is added to it.
  uint64_t unreadable_lines_ = 0;
  std::vector<std::string> notes_;
};

}  // namespace sallyport
