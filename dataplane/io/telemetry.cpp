#include "dataplane/io/telemetry.h"

#include <rte_telemetry.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <exception>
#include <mutex>

#include "dataplane/io/telemetry_answers.h"

namespace sallyport {
namespace {

// DPDK hands a command's function nothing of ours, cannot forget a command, and its threads go on
// until the process ends. Not a worker's lock: only telemetry's threads and the control thread, at
// start and end, take it.
std::mutex segment_mutex;
const StatsSegment* segment = nullptr;

using Answerer = TelemetryAnswer (*)(const StatsSegment&, std::string_view);

/// Arrays are containers of their own; DPDK frees those that it took.
template <typename List, typename Add>
int put_list(rte_tel_data* out, const char* name, const List& list, rte_tel_value_type type,
             Add add) {
  rte_tel_data* array = rte_tel_data_alloc();
  if (array == nullptr) return -ENOMEM;
  int fault = rte_tel_data_start_array(array, type);
  for (const auto& value : list) {
    if (fault == 0) fault = add(array, value);
  }
  if (fault == 0) fault = rte_tel_data_add_dict_container(out, name, array, 0);
  if (fault != 0) rte_tel_data_free(array);
  return fault;
}

struct Put {
  rte_tel_data* out;
  const char* name;

  int operator()(uint64_t value) const { return rte_tel_data_add_dict_u64(out, name, value); }
  int operator()(const std::string& text) const {
    return rte_tel_data_add_dict_string(out, name, text.c_str());
  }
  int operator()(const std::vector<uint64_t>& list) const {
    return put_list(out, name, list, RTE_TEL_U64_VAL, rte_tel_data_add_array_u64);
  }
  int operator()(const std::vector<std::string>& list) const {
    return put_list(out, name, list, RTE_TEL_STRING_VAL, [](rte_tel_data* array, const auto& text) {
      return rte_tel_data_add_array_string(array, text.c_str());
    });
  }
};

int answer(Answerer answerer, const char* parameters, rte_tel_data* out) noexcept {
  try {
    const std::lock_guard lock(segment_mutex);
    TelemetryAnswer entries{{"error", std::string("the data plane is stopping")}};
    if (segment != nullptr) {
      entries = within_limits(answerer(*segment, parameters == nullptr ? "" : parameters));
    }
    if (const int fault = rte_tel_data_start_dict(out); fault != 0) return fault;
    for (const auto& [name, value] : entries) {
      if (const int fault = std::visit(Put{out, name.c_str()}, value); fault != 0) return -1;
    }
    return 0;
  } catch (const std::exception&) {
    return -ENOMEM;  // DPDK answers null
  }
}

template <Answerer kAnswerer>
int answer_by(const char*, const char* parameters, rte_tel_data* out) {
  return answer(kAnswerer, parameters, out);
}

void add_command(const char* name, telemetry_cb answerer, const char* help) {
  if (const int fault = rte_telemetry_register_cmd(name, answerer, help); fault != 0) {
    spdlog::warn("telemetry: {} cannot be registered: error {}", name, -fault);
  }
}

// Help is cut at 63 characters.
void add_commands() {
  add_command("/sallyport/counters", answer_by<counters_answer>,
              "Counters. Parameters: [family[,core]]; none: family totals");
  add_command("/sallyport/drops", answer_by<drops_answer>,
              "Dropped packets by reason. Parameters: [core]");
  add_command("/sallyport/cores", answer_by<cores_answer>,
              "Revision, generation and heartbeat of each core. No parameters");
  add_command("/sallyport/histograms", answer_by<histograms_answer>,
              "Quantiles since the start. Parameters: [name[,core]]");
}

}  // namespace

Telemetry::Telemetry(const StatsSegment& stats) {
  static std::once_flag added;
  std::call_once(added, add_commands);
  const std::lock_guard lock(segment_mutex);
  segment = &stats;
}

Telemetry::~Telemetry() {
  const std::lock_guard lock(segment_mutex);
  segment = nullptr;
}

}  // namespace sallyport
