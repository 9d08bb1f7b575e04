#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/io/log_sink.h"

namespace sallyport {

/// The log as a stream to a collector that listens on a Unix socket. Never waits: what the
/// collector does not take at once is kept, up to a bound, also while there is none. A new
/// collector begins with a whole line, and with the one that the last had in part.
class LogSocket final : public LogSink {
 public:
  static constexpr size_t kMostKept = size_t{4} << 20;

  LogSocket(std::string path, std::vector<unsigned> cores, LogLosses& losses);
  ~LogSocket() override;

  void take(const LogBatch& batch, uint64_t now_unix_ns) override;
  void tick(uint64_t now_unix_ns) override;
  void finish(uint64_t now_unix_ns) override;

 private:
  bool connected() const noexcept { return fd_ >= 0; }
  void try_to_connect(uint64_t now_unix_ns);
  void disconnect(const char* what, int error);
  void send_kept();
  void keep_gaps(uint64_t now_unix_ns);
  size_t kept_bytes() const noexcept { return kept_.size() - sent_; }

  const std::string path_;
  int fd_ = -1;
  std::string kept_;     // whole lines
  size_t sent_ = 0;      // of it
  bool losing_ = false;  // until half of the room is free again: else there is a gap a line
  uint64_t tried_ns_ = 0;
  uint64_t said_ns_ = 0;
};

}  // namespace sallyport
