#include "control/cli/log_lines.h"

#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <system_error>
#include <tuple>

#include "control/common/system.h"
#include "control/common/unique_fd.h"

namespace sallyport {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kCompressed = ".zst";
constexpr std::string_view kTimePattern = "00000000T000000.000000Z";  // 0: any digit
constexpr std::array<uint8_t, 4> kZstdMagic{0x28, 0xb5, 0x2f, 0xfd};  // RFC 8878 section 3.1.1

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_time(std::string_view text) {
  return std::ranges::equal(
      text, kTimePattern, [](char c, char like) { return like == '0' ? is_digit(c) : c == like; });
}

bool is_number(std::string_view text) {
  return !text.empty() && text.size() <= 6 && std::ranges::all_of(text, is_digit);
}

/// A rotated file by what stands behind the log's name.
struct Rotated {
  bool by_time = false;
  int number = 0;  ///< Negative: the highest is the oldest.
  std::string stem;
  bool compressed = false;
  fs::path path;

  auto order() const { return std::tie(by_time, number, stem, compressed); }
};

std::string read_error(const std::string& name, int error) {
  return name + " cannot be read: " + errno_text(error);
}

/// Reads `fd` to its end and hands on each piece. @return 0 or errno.
int read_pieces(int fd, const std::function<bool(std::string_view)>& take) {
  std::vector<char> buffer(size_t{1} << 17);
  for (;;) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0 || !take({buffer.data(), static_cast<size_t>(got)})) return 0;
  }
}

/// Unpacks what it is fed.
class Unpacker {
 public:
  /// @return false when the bytes are damaged.
  bool feed(std::string_view bytes, LineCutter& lines, const TakeLine& take) {
    if (!context_) return false;
    ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
    while (input.pos < input.size) {
      ZSTD_outBuffer output{buffer_.data(), buffer_.size(), 0};
      left_ = ZSTD_decompressStream(context_.get(), &output, &input);
      if (ZSTD_isError(left_) != 0) return false;
      lines.feed({buffer_.data(), output.pos}, take);
    }
    return true;
  }
  bool is_whole() const noexcept { return left_ == 0; }

 private:
  std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context_{ZSTD_createDCtx(), ZSTD_freeDCtx};
  std::vector<char> buffer_ = std::vector<char>(ZSTD_DStreamOutSize());
  size_t left_ = 1;
};

bool is_compressed(std::string_view start) {
  return start.size() >= kZstdMagic.size() &&
         std::equal(kZstdMagic.begin(), kZstdMagic.end(), start.begin(),
                    [](uint8_t want, char has) { return want == static_cast<uint8_t>(has); });
}

}  // namespace

void LineCutter::feed(std::string_view bytes, const TakeLine& take) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    skips_ = skips_ || line_.size() + part.size() > kMaxLineBytes;
    if (skips_) line_.clear();
    if (end == std::string_view::npos) {
      if (!skips_) line_ += part;
      return;
    }
    if (!skips_ && line_.empty()) {
      take(part);
    } else if (!skips_) {
      line_ += part;
      take(line_);
    }
    line_.clear();
    skips_ = false;
    bytes.remove_prefix(end + 1);
  }
}

void LineCutter::finish(const TakeLine& take) {
  if (!line_.empty() && !skips_) take(line_);
  line_.clear();
  skips_ = false;
}

std::vector<fs::path> rotated_logs(const fs::path& log) {
  std::vector<Rotated> found;
  const std::string prefix = log.filename().string() + ".";
  const fs::path folder = log.has_parent_path() ? log.parent_path() : fs::path(".");
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (!name.starts_with(prefix)) continue;
    std::string stem = name.substr(prefix.size());
    const bool compressed = stem.ends_with(kCompressed);
    if (compressed) stem.resize(stem.size() - kCompressed.size());
    const bool by_time = is_time(stem);
    if (!by_time && !is_number(stem)) continue;
    const int number = by_time ? 0 : -std::stoi(stem);
    found.push_back({by_time, number, stem, compressed, log.parent_path() / name});
  }
  std::ranges::sort(found, {}, &Rotated::order);
  std::vector<fs::path> out;
  const Rotated* last = nullptr;
  for (const Rotated& one : found) {
    // For a moment there are both: the one that was compressed, and what came of it.
    if (last == nullptr || last->stem != one.stem) out.push_back(one.path);
    last = &one;
  }
  return out;
}

std::string read_whole_log(int fd, const std::string& name, const TakeLine& take) {
  LineCutter lines;
  Unpacker unpacker;
  bool first = true;
  bool packed = false;
  bool damaged = false;
  const int error = read_pieces(fd, [&](std::string_view piece) {
    if (first) packed = is_compressed(piece);
    first = false;
    if (!packed) {
      lines.feed(piece, take);
    } else {
      damaged = !unpacker.feed(piece, lines, take);
    }
    return !damaged;
  });
  if (error != 0) return read_error(name, error);
  if (damaged || (packed && !unpacker.is_whole())) {
    return name + " is damaged: what could be unpacked of it was read";
  }
  lines.finish(take);
  return "";
}

std::string read_whole_log(const fs::path& path, const TakeLine& take) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd && errno == ENOENT) {
    const std::string packed = path.string() + std::string(kCompressed);
    fd.reset(::open(packed.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  }
  if (!fd) return read_error(path.string(), errno);
  return read_whole_log(fd.get(), path.string(), take);
}

}  // namespace sallyport
