#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/io/log_archive.h"
#include "dataplane/io/log_options.h"
#include "dataplane/io/log_sink.h"

namespace sallyport {

/// The log as a file: appended to, rotated by size and time, reopened on request. A write that
/// fails leaves no half line behind.
class LogFile final : public LogSink {
 public:
  /// Opens `path` for appending, created with mode 0640.
  /// @return the file, or what is wrong in one line.
  static std::expected<std::unique_ptr<LogFile>, std::string> open(const std::string& path,
                                                                   const LogOptions& options,
                                                                   std::vector<unsigned> cores,
                                                                   LogLosses& losses,
                                                                   uint64_t now_unix_ns);
  ~LogFile() override;

  void take(const LogBatch& batch, uint64_t now_unix_ns) override;
  void tick(uint64_t now_unix_ns) override;
  void reopen() override { reopen_ = true; }
  void finish(uint64_t now_unix_ns) override { say_gaps(now_unix_ns); }

 private:
  LogFile(const std::string& path, const LogOptions& options, std::vector<unsigned> cores,
          LogLosses& losses);
  bool open_anew(uint64_t now_unix_ns);
  bool rotation_is_due(uint64_t now_unix_ns);
  void rotate(LogArchive& archive, uint64_t now_unix_ns);
  bool say_gaps(uint64_t now_unix_ns);
  size_t write_lines(std::string_view text);
  void cut_off(std::string_view text);
  void complain(const char* what, int error, const char* advice);
  uint64_t period_of(uint64_t unix_ns) const noexcept;

  const std::string path_;
  const uint64_t rotate_bytes_;    // 0: not by size
  const uint64_t rotate_seconds_;  // 0: not by time
  int fd_ = -1;
  bool regular_ = false;  // a device or a pipe is neither rotated nor cut
  uint64_t size_ = 0;
  uint64_t period_ = 0;    // of the file's lines, in units of rotate_seconds_
  bool torn_ = false;      // the last line is a half one, and could not be removed
  bool failed_ = false;    // the last write
  bool reopen_ = false;    // as soon as it can be
  uint64_t tried_ns_ = 0;  // to open or rotate, and could not
  uint64_t said_ns_ = 0;   // when gaps were last written
  std::string gap_text_;
  std::optional<LogArchive> archive_;
};

}  // namespace sallyport
