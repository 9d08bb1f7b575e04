#pragma once

#include <sys/un.h>

#include <cstdint>
#include <expected>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "control/common/unique_fd.h"

namespace sallyport {

/// What errno value `error` means: "No such file or directory".
std::string errno_text(int error);

/// Writes all of `bytes`, through short writes and EINTR. @return 0 or errno.
int write_all(int fd, std::span<const uint8_t> bytes);

/// Replaces `path` with `bytes` so that a reader, or a crash at any moment, sees the old file or
/// the new one whole: temporary file in the same folder, fsync, rename, fsync of the folder.
/// @return what failed, with the path and the cause.
std::expected<void, std::string> write_file_atomically(const std::filesystem::path& path,
                                                       std::span<const uint8_t> bytes,
                                                       unsigned mode);

/// Reads a regular file of at most `max_bytes`. @return the bytes, or errno (EFBIG when larger,
/// EINVAL when it is no regular file).
std::expected<std::vector<uint8_t>, int> read_file(const std::filesystem::path& path,
                                                   size_t max_bytes);

/// @return `path` as a socket address, or errno: ENAMETOOLONG when it does not fit.
std::expected<sockaddr_un, int> unix_address(const std::filesystem::path& path);

/// Connects to the Unix socket at `path`. `type` is SOCK_STREAM or SOCK_SEQPACKET, with flags.
/// @return the connected socket, or errno.
std::expected<UniqueFd, int> connect_unix(const std::filesystem::path& path, int type);

/// "2026-12-01T12:00:00Z".
std::string utc_text(uint64_t unix_seconds);

/// Wall clock, as the stats segment counts it.
uint64_t unix_now_ns();

}  // namespace sallyport
