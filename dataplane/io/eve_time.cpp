#include "dataplane/io/eve_time.h"

#include <ctime>

namespace sallyport {

std::string_view EveTime::operator()(uint64_t unix_ns) {
  const uint64_t second = unix_ns / 1'000'000'000;
  if (second != second_) {
    const auto seconds = static_cast<time_t>(second);
    tm parts{};
    gmtime_r(&seconds, &parts);
    size_ = std::strftime(text_.data(), text_.size(), "%Y-%m-%dT%H:%M:%S.", &parts);
    second_ = second;
  }
  constexpr std::string_view kUtc = "+0000";
  auto micros = static_cast<uint32_t>(unix_ns / 1000 % 1'000'000);
  for (size_t i = 6; i-- > 0; micros /= 10) {
    text_[size_ + i] = static_cast<char>('0' + micros % 10);
  }
  kUtc.copy(text_.data() + size_ + 6, kUtc.size());
  return {text_.data(), size_ + 6 + kUtc.size()};
}

}  // namespace sallyport
