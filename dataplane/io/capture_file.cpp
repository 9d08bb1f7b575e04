#include "dataplane/io/capture_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

#include "dataplane/io/capture_split.h"

namespace sallyport {
namespace {

namespace fs = std::filesystem;

std::string problem(const char* what) {
  return std::string(what) + ": " + std::strerror(errno);
}

/// The bytes of an open file: mapped, or read when it is a pipe.
class FileBytes {
 public:
  FileBytes() = default;
  ~FileBytes() {
    if (mapped_ != nullptr) munmap(mapped_, bytes_.size());
  }
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;

  /// @return what is wrong, or "".
  std::string read(int fd) {
    struct stat info{};
    if (fstat(fd, &info) != 0) return problem("it cannot be read");
    if (!S_ISREG(info.st_mode)) return read_stream(fd);
    const auto size = static_cast<size_t>(info.st_size);
    if (size == 0) return "";
    void* const start = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (start == MAP_FAILED) return problem("it cannot be read");
    mapped_ = start;
    bytes_ = {static_cast<const uint8_t*>(start), size};
    return "";
  }
  std::span<const uint8_t> bytes() const noexcept { return bytes_; }
  bool is_mapped() const noexcept { return mapped_ != nullptr; }

 private:
  std::string read_stream(int fd) {
    std::array<uint8_t, size_t{64} << 10> chunk;
    for (;;) {
      const ssize_t got = ::read(fd, chunk.data(), chunk.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return problem("it cannot be read");
      if (got == 0) break;
      held_.insert(held_.end(), chunk.begin(), chunk.begin() + got);
    }
    bytes_ = held_;
    return "";
  }

  void* mapped_ = nullptr;
  std::vector<uint8_t> held_;
  std::span<const uint8_t> bytes_;
};

// What stands in front of a pcap and of each packet in it, in this machine's byte order.
struct FileHeader {
  uint32_t magic = 0xa1b2c3d4;  // microseconds
  uint16_t major_version = 2;
  uint16_t minor_version = 4;
  uint64_t unused = 0;
  uint32_t snapped_to_bytes = 262144;  // as long as libpcap takes
  uint32_t link_type = kLinkEthernet;
};
struct PacketHeader {
  uint32_t seconds;
  uint32_t microseconds;
  uint32_t captured;
  uint32_t wire;
};
static_assert(sizeof(FileHeader) == 24 && sizeof(PacketHeader) == 16);

/// Writes a pcap of Ethernet frames.
class PcapWriter final : public FrameSink {
 public:
  explicit PcapWriter(int fd) : fd_(fd) {
    const FileHeader header;
    put(&header, sizeof header);
  }

  bool frame(uint64_t unix_ns, std::span<const uint8_t> frame, uint64_t wire_bytes) override {
    const PacketHeader header{
        .seconds = static_cast<uint32_t>(unix_ns / 1'000'000'000),
        .microseconds = static_cast<uint32_t>(unix_ns % 1'000'000'000 / 1000),
        .captured = static_cast<uint32_t>(frame.size()),
        .wire = static_cast<uint32_t>(std::min<uint64_t>(wire_bytes, UINT32_MAX))};
    if (buffer_.size() - used_ < sizeof header + frame.size() && !flush()) return false;
    put(&header, sizeof header);
    put(frame.data(), frame.size());
    return true;
  }

  bool flush() {
    for (size_t done = 0; done < used_;) {
      const ssize_t wrote = write(fd_, buffer_.data() + done, used_ - done);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return false;
      done += static_cast<size_t>(wrote);
    }
    used_ = 0;
    return true;
  }

 private:
  void put(const void* bytes, size_t count) noexcept {
    if (count > 0) std::memcpy(buffer_.data() + used_, bytes, count);
    used_ += count;
  }

  static constexpr size_t kBufferBytes = size_t{1} << 18;
  static_assert(kBufferBytes >= sizeof(PacketHeader) + kMostFrameBytes);

  int fd_;
  std::vector<uint8_t> buffer_ = std::vector<uint8_t>(kBufferBytes);
  size_t used_ = 0;
};

bool has_capture_name(const fs::path& path) {
  const std::string extension = path.extension();
  return extension == ".pcap" || extension == ".pcapng" || extension == ".cap";
}

}  // namespace

std::expected<std::vector<std::string>, std::string> list_captures(
    const std::vector<std::string>& named) {
  std::vector<std::string> out;
  for (const std::string& one : named) {
    std::error_code error;
    if (!fs::is_directory(one, error)) {
      out.push_back(one);
      continue;
    }
    const auto first = static_cast<std::ptrdiff_t>(out.size());
    for (fs::directory_iterator at(one, error), end; !error && at != end; at.increment(error)) {
      if (has_capture_name(at->path())) out.push_back(at->path());
    }
    if (error) return std::unexpected(one + ": " + error.message());
    std::sort(out.begin() + first, out.end());
    if (out.begin() + first == out.end()) {
      return std::unexpected(one + ": no *.pcap, *.pcapng or *.cap in this folder");
    }
  }
  return out;
}

std::expected<ReadyCapture, std::string> ReadyCapture::open(const std::string& path,
                                                            ChecksumMode mode) {
  const int in = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (in < 0) return std::unexpected(std::strerror(errno));
  ReadyCapture out(in, {});
  FileBytes file;
  if (std::string wrong = file.read(in); !wrong.empty()) return std::unexpected(wrong);
  auto survey = survey_capture(file.bytes(), mode);
  if (!survey) return std::unexpected(survey.error());
  out.survey_ = std::move(*survey);
  if (out.survey_.is_fit && file.is_mapped()) return out;

  const int made = memfd_create("capture", MFD_CLOEXEC);
  if (made < 0) return std::unexpected(problem("no memory for its frames"));
  close(std::exchange(out.fd_, made));
  PcapWriter writer(made);
  if (!normalise_capture(file.bytes(), out.survey_, writer) || !writer.flush()) {
    return std::unexpected(problem("no memory for its frames"));
  }
  return out;
}

ReadyCapture::ReadyCapture(ReadyCapture&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), survey_(std::move(other.survey_)) {}

ReadyCapture::~ReadyCapture() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace sallyport
