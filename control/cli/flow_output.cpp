#include "control/cli/flow_output.h"

#include <algorithm>
#include <utility>

#include "control/common/json_text.h"

namespace sallyport {
namespace {

/// How many lines wait for the ends of their flows, some 500 bytes each.
constexpr size_t kWindow = 32'768;

bool is_plain(std::string_view line) {
  return std::ranges::all_of(line, [](char c) { return c >= 0x20 && c < 0x7f; });
}

class JsonOutput final : public FlowOutput {
 public:
  JsonOutput(size_t last, Write write) : last_(last), write_(std::move(write)) {}

  void add(const LoggedRecord& /*record*/, std::string_view line) override {
    std::string text = is_plain(line)
                           ? std::string(line)
                           : Json::parse(line).dump(-1, ' ', true, Json::error_handler_t::replace);
    text += '\n';
    if (live_ || last_ == SIZE_MAX) return write_(text);
    kept_.push_back(std::move(text));
    if (kept_.size() > last_) kept_.pop_front();
  }
  void go_live() override {
    for (const std::string& one : kept_) write_(one);
    kept_.clear();
    live_ = true;
  }
  size_t kept() const override { return kept_.size(); }

 private:
  size_t last_;
  Write write_;
  bool live_ = false;
  std::deque<std::string> kept_;
};

class TextOutput final : public FlowOutput {
 public:
  TextOutput(const FlowTextOptions& options, Write write)
      : options_(options), write_(std::move(write)) {}

  void add(const LoggedRecord& record, std::string_view /*line*/) override {
    const bool folds = !options_.every_record;
    if (folds && record.event == LoggedEvent::start) return;
    if (folds && record.event == LoggedEvent::end) {
      if (LoggedRecord* decided = find(record)) {
        decided->bytes = record.bytes;
        return;
      }
      // Live, its verdict was shown; unless it never had one.
      if (live_ && record.action != "pending") return;
    }
    if (live_) return print(record);
    keep(record);
  }

  void go_live() override {
    for (const LoggedRecord& one : kept_) print(one);
    kept_.clear();
    places_.clear();
    live_ = true;
  }
  size_t kept() const override { return kept_.size(); }

 private:
  LoggedRecord* find(const LoggedRecord& end) {
    const auto place = places_.find(end.flow_id);
    if (place == places_.end() || place->second < first_) return nullptr;
    LoggedRecord& found = kept_[place->second - first_];
    places_.erase(place);
    return found.same_flow(end) ? &found : nullptr;
  }

  void keep(const LoggedRecord& record) {
    const bool decision =
        record.event == LoggedEvent::verdict || record.event == LoggedEvent::request;
    if (decision) places_[record.flow_id] = first_ + kept_.size();
    kept_.push_back(record);
    if (kept_.size() <= std::min(options_.last, kWindow)) return;
    const LoggedRecord& oldest = kept_.front();
    const auto place = places_.find(oldest.flow_id);
    if (place != places_.end() && place->second == first_) places_.erase(place);
    if (options_.last == SIZE_MAX) print(oldest);
    kept_.pop_front();
    ++first_;
  }

  void print(const LoggedRecord& record) {
    std::string out;
    if (!began_) out += flow_line_header(options_.style) + "\n";
    began_ = true;
    const std::string day = day_of(record);
    if (day != day_) out += "-- " + day + "\n";
    day_ = day;
    write_(out + flow_line(record, options_.style) + "\n");
  }

  FlowTextOptions options_;
  Write write_;
  bool live_ = false;
  bool began_ = false;
  std::string day_;
  std::deque<LoggedRecord> kept_;
  uint64_t first_ = 0;  ///< How many were taken out of kept_ at its front.
  std::unordered_map<uint64_t, uint64_t> places_;  ///< Last decision of each flow, by its id.
};

}  // namespace

std::unique_ptr<FlowOutput> json_flow_output(size_t last, FlowOutput::Write write) {
  return std::make_unique<JsonOutput>(last, std::move(write));
}

std::unique_ptr<FlowOutput> text_flow_output(const FlowTextOptions& options,
                                             FlowOutput::Write write) {
  return std::make_unique<TextOutput>(options, std::move(write));
}

}  // namespace sallyport
