#include "control/top/top_sample.h"

#include <chrono>

#include "control/common/system.h"

namespace sallyport {

TopSample TopSampler::sample() {
  TopSample out;
  if (reader_ && reader_->replaced()) reader_.reset();
  if (!reader_) {
    auto opened = StatsReader::open(path_);
    if (opened) {
      reader_.emplace(std::move(*opened));
      ++mappings_;
    } else {
      out.error = std::move(opened.error());
    }
  }
  out.taken_ns = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch() /
                                       std::chrono::nanoseconds(1));
  out.taken_unix_ns = unix_now_ns();
  out.mapping = mappings_;
  if (!reader_) return out;
  auto snapshot = reader_->snapshot();
  if (snapshot) {
    out.snapshot = std::move(*snapshot);
  } else {
    out.error = std::move(snapshot.error());
    reader_.reset();
  }
  return out;
}

}  // namespace sallyport
