#include "dataplane/inspect/http_answers.h"

#include <algorithm>

#include "dataplane/inspect/http_request.h"
#include "dataplane/inspect/http_status.h"
#include "dataplane/inspect/http_text.h"

namespace sallyport {
namespace {

// "HTTP/1.1 200" and what ends the code.
constexpr size_t kStatusBytes = 13;
constexpr size_t kMinorAt = 7;

}  // namespace

void HttpAnswers::asked(bool of_head) noexcept {
  constexpr uint32_t kMostKnown = 32;
  if (of_head && waiting_ >= kMostKnown) lose();
  if (of_head && waiting_ < kMostKnown) heads_ |= uint32_t{1} << waiting_;
  ++waiting_;
}

uint16_t HttpAnswers::next_status(std::span<const uint8_t>& bytes) noexcept {
  while (!bytes.empty() && !is_lost()) {
    if (state_ == State::body || state_ == State::chunk_data) {
      skip(bytes);
      continue;
    }
    if (all_answered()) {
      lose();  // nobody asked: a byte too many here is one too few in the next answer
      break;
    }
    const uint8_t byte = bytes.front();
    bytes = bytes.subspan(1);
    if (!put(byte)) {
      lose();
    } else if (byte == '\n') {
      if (!end_line()) lose();
    } else if (state_ == State::status && line_bytes_ == kStatusBytes && !cut_) {
      if (read_status()) return code_;
      lose();
    }
  }
  return 0;
}

void HttpAnswers::skip(std::span<const uint8_t>& bytes) noexcept {
  const size_t taken = std::min<uint64_t>(remaining_bytes_, bytes.size());
  bytes = bytes.subspan(taken);
  pass_body(taken);
}

void HttpAnswers::pass_body(uint64_t bytes) noexcept {
  remaining_bytes_ -= bytes;
  if (remaining_bytes_ != 0) return;
  if (state_ == State::chunk_data) {
    state_ = State::chunk_end;
  } else {
    end_answer();
  }
}

// A line's next byte. Its CR is kept, its LF is not.
bool HttpAnswers::put(uint8_t byte) noexcept {
  const bool ends = byte == '\n';
  if (ends != after_cr_) return false;
  after_cr_ = byte == '\r';
  if (ends) return true;
  const char c = static_cast<char>(byte);
  if (is_control(c) && c != '\t' && c != '\r') return false;
  if (line_bytes_ < kLineBytes) {
    line_[line_bytes_++] = c;
  } else {
    cut_ = true;
  }
  return true;
}

bool HttpAnswers::read_status() noexcept {
  const auto* text = reinterpret_cast<const uint8_t*>(line_.data());
  const HttpStatus status = parse_http_status({text, kStatusBytes});
  if (status.state != HttpStatus::State::done) return false;
  code_ = status.code;
  is_1_0_ = line_[kMinorAt] == '0';
  // The rest of the line is read to its end, and no code is looked for in it.
  cut_ = true;
  return true;
}

bool HttpAnswers::end_line() noexcept {
  std::string_view line(line_.data(), line_bytes_);
  if (line.ends_with('\r')) line.remove_suffix(1);
  const bool whole = !cut_;
  line_bytes_ = 0;
  cut_ = false;
  switch (state_) {
    case State::status:
      framing_ = {};
      state_ = State::field;
      return !whole;  // read_status() has seen it
    case State::field:
      if (whole && line.empty()) return end_head();
      return take_field(line) && (whole || !HttpFraming::reads(line.substr(0, line.find(':'))));
    case State::chunk_line:
      if (!whole || !parse_chunk_line(line, remaining_bytes_)) return false;
      state_ = remaining_bytes_ == 0 ? State::trailer : State::chunk_data;
      return true;
    case State::chunk_end:
      state_ = State::chunk_line;
      return whole && line.empty();
    case State::trailer: {
      HttpFieldLine field;
      return whole && line.empty() ? end_answer() : parse_http_field(line, field);
    }
    case State::body:
    case State::chunk_data:
    case State::lost:
      break;
  }
  return false;
}

bool HttpAnswers::take_field(std::string_view line) noexcept {
  HttpFieldLine field;
  if (!parse_http_field(line, field)) return false;
  const bool frames = equal_ignoring_case(field.name, "content-length") ||
                      equal_ignoring_case(field.name, "transfer-encoding");
  return !frames || framing_.take(field.name, field.value) == InspectFault::none;
}

bool HttpAnswers::end_head() noexcept {
  constexpr uint16_t kSwitchingProtocols = 101;
  constexpr uint16_t kNoContent = 204;
  constexpr uint16_t kNotModified = 304;
  state_ = State::status;
  // Nobody took this one for the agreement that it would be.
  if (code_ == kSwitchingProtocols) return false;
  if (code_ < 200) return true;
  HttpBody body;
  if (framing_.finish({}, is_1_0_, body) != InspectFault::none) return false;
  const bool of_head = (heads_ & 1) != 0;
  const bool has_none = body.kind == HttpBody::Kind::none;
  if (of_head || code_ == kNotModified || (code_ == kNoContent && has_none)) {
    in_doubt_ |= !has_none || (of_head && !framing_.has_length() && code_ != kNoContent);
    return end_answer();
  }
  if (code_ == kNoContent) return false;
  remaining_bytes_ = body.length_bytes;
  if (body.kind == HttpBody::Kind::chunked) {
    state_ = State::chunk_line;
    return true;
  }
  if (body.kind == HttpBody::Kind::length) {
    state_ = State::body;
    return true;
  }
  return framing_.has_length() && end_answer();
}

bool HttpAnswers::end_answer() noexcept {
  --waiting_;
  heads_ >>= 1;
  state_ = State::status;
  return true;
}

}  // namespace sallyport
