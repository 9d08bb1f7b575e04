#pragma once

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/io/log_sink.h"

namespace sallyport::test {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kNoon = 1'700'049'600 * kSecond;  // 2023-11-15T12:00:00Z

/// A folder of its own, gone with the test.
struct LogFolder {
  std::filesystem::path path;

  LogFolder() {
    std::string name = std::filesystem::temp_directory_path() / "sallyport-log-XXXXXX";
    path = ::mkdtemp(name.data());
  }
  ~LogFolder() { std::filesystem::remove_all(path); }
  LogFolder(const LogFolder&) = delete;
  LogFolder& operator=(const LogFolder&) = delete;
  std::string operator/(const char* name) const { return path / name; }
};

inline std::string text_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Each line parsed; what is no JSON throws, and so does a line without an end.
inline std::vector<nlohmann::json> records_of(const std::string& text) {
  std::vector<nlohmann::json> out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    if (end == std::string::npos) throw std::runtime_error("half a line: " + text.substr(at));
    out.push_back(nlohmann::json::parse(text.substr(at, end - at)));
    at = end + 1;
  }
  return out;
}

/// `count` lines {"n":…} from `first` on, a millisecond apart, each padded to some length.
inline LogBatch numbered(uint64_t first, uint64_t count, size_t worker = 0, size_t padding = 20) {
  LogBatch batch{.worker = worker, .text = {}, .lines = {}};
  for (uint64_t n = first; n < first + count; ++n) {
    batch.text += nlohmann::json{{"n", n}, {"pad", std::string(padding, 'p')}}.dump() + "\n";
    batch.lines.push_back({batch.text.size(), kNoon + n * 1'000'000});
  }
  return batch;
}

/// The n of those records that have one.
inline std::vector<uint64_t> numbers_in(const std::vector<nlohmann::json>& records) {
  std::vector<uint64_t> out;
  for (const auto& record : records) {
    if (record.contains("n")) out.push_back(record["n"]);
  }
  return out;
}

inline std::vector<nlohmann::json> gaps_in(const std::vector<nlohmann::json>& records) {
  std::vector<nlohmann::json> out;
  for (const auto& record : records) {
    if (record.contains("gap")) out.push_back(record);
  }
  return out;
}

inline std::vector<uint64_t> counting(uint64_t first, uint64_t count) {
  std::vector<uint64_t> out;
  for (uint64_t n = first; n < first + count; ++n) out.push_back(n);
  return out;
}

inline bool soon(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace sallyport::test
