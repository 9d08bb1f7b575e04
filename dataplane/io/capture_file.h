#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "dataplane/io/capture_normaliser.h"

namespace sallyport {

/// The captures that `named` stands for: a folder for each *.pcap, *.pcapng and *.cap in it, in the
/// order of their names; anything else for itself. A folder without captures is an error.
std::expected<std::vector<std::string>, std::string> list_captures(
    const std::vector<std::string>& named);

/// A capture that DPDK's net_pcap can read: the file itself, or its packets as Ethernet frames in
/// memory. Closed at the end.
class ReadyCapture {
 public:
  /// @return the capture, or what is wrong with it.
  static std::expected<ReadyCapture, std::string> open(const std::string& path, ChecksumMode mode);
  ~ReadyCapture();
  ReadyCapture(ReadyCapture&& other) noexcept;
  ReadyCapture& operator=(ReadyCapture&&) = delete;

  int fd() const noexcept { return fd_; }
  const CaptureSurvey& survey() const noexcept { return survey_; }

 private:
  ReadyCapture(int fd, CaptureSurvey survey) : fd_(fd), survey_(std::move(survey)) {}

  int fd_;
  CaptureSurvey survey_;
};

}  // namespace sallyport
