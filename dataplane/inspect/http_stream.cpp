#include "dataplane/inspect/http_stream.h"

#include <algorithm>

#include "dataplane/inspect/http_record.h"
#include "dataplane/inspect/http_request.h"
#include "dataplane/inspect/http_text.h"

namespace sallyport {

using Status = HttpStep::Status;

/// One call of next(): what is left of the window, and the answer so far.
struct HttpStream::Cursor {
  std::span<const uint8_t> rest;
  const bool ended;
  const std::span<const std::string_view> header_names;
  HttpScratch& scratch;
  HttpRequest& request;
  HttpStep step;
  bool stop = false;

  std::string_view text() const noexcept { return text_of(rest.data(), rest.size()); }
  void forward(size_t bytes) noexcept {
    rest = rest.subspan(bytes);
    step.forward_bytes += bytes;
  }
  void answer(Status status, InspectFault fault = InspectFault::none) noexcept {
    step.status = status;
    step.fault = fault;
    stop = true;
  }
  void fail(InspectFault fault) noexcept { answer(Status::fault, fault); }
  void wait() noexcept { answer(Status::need_more); }
};

HttpStep HttpStream::next(std::span<const uint8_t> window, bool ended,
                          std::span<const std::string_view> header_names, HttpScratch& scratch,
                          HttpRequest& out) noexcept {
  out = HttpRequest{};
  Cursor at{window, ended, header_names, scratch, out, {}, false};
  while (!at.stop) {
    switch (phase_) {
      case Phase::head:
        read_head(at);
        break;
      case Phase::body_start:
        read_body_start(at);
        break;
      case Phase::body:
      case Phase::chunk_data:
        read_data(at);
        break;
      case Phase::chunk_line:
        read_chunk_line(at);
        break;
      case Phase::chunk_end:
        read_chunk_end(at);
        break;
      case Phase::trailers:
        read_trailers(at);
        break;
      case Phase::opaque:
        at.forward(at.rest.size());
        at.wait();
        break;
      case Phase::await_response:
        at.wait();
        break;
      case Phase::over:
        read_behind_last(at);
        break;
    }
  }
  return at.step;
}

void HttpStream::read_head(Cursor& at) noexcept {
  const auto text = at.text();
  if (at.ended && text.find_first_not_of("\r\n") == std::string_view::npos && requests_ != 0) {
    at.forward(text.size());  // line ends behind the last request, as some clients send
    return at.wait();
  }
  if (!at.ended && head_is_unchanged(text, at.header_names)) return at.wait();

  const HttpHead head =
      parse_http_request(at.rest, at.header_names, at.scratch, at.request, next_body_);
  switch (head.status) {
    case HttpHead::Status::done:
      if (const auto fault = place_fault(); fault != InspectFault::none) return at.fail(fault);
      return at.answer(Status::request);
    case HttpHead::Status::fault:
      guess_http_record(text, at.request);
      return at.fail(head.fault);
    case HttpHead::Status::not_http:
      if (requests_ != 0) return at.fail(InspectFault::http_bad_request_line);
      return at.answer(Status::not_http);
    case HttpHead::Status::need_more:
      break;
  }
  if (!at.ended) {
    note_head(text, head.in_target, head.is_http);
    return at.wait();
  }
  if (head.is_http) return at.fail(InspectFault::http_bad_header);
  if (head.asks_already) guess_http_record(text, at.request);
  if (requests_ != 0 || head.asks_already) return at.fail(InspectFault::http_bad_request_line);
  at.answer(Status::not_http);
}

// What a request may not be where it stands.
InspectFault HttpStream::place_fault() const noexcept {
  if (next_body_.is_last && requests_ != 0) return InspectFault::http_bad_request_line;
  // Whose answer would the next one be? An earlier one's, or the rest of its body, may look as if
  // it agreed. So the end of each must have been seen.
  const bool certain = answers_.all_answered() && !answers_.is_in_doubt();
  if (next_body_.tunnel != HttpTunnel::none && !certain) {
    return InspectFault::http_early_tunnel;
  }
  return InspectFault::none;
}

// Line ends, as people type them. Whatever else comes, a server that took the request for more than
// HTTP/0.9 could read: fields, a Host among them.
void HttpStream::read_behind_last(Cursor& at) noexcept {
  const auto text = at.text();
  at.forward(std::min(text.find_first_not_of("\r\n"), text.size()));
  if (!at.rest.empty()) return at.fail(InspectFault::http_bad_request_line);
  at.wait();
}

// Whether a head that was not whole before still is, and says nothing new: what keeps a head that
// comes byte by byte from being parsed at each of them.
bool HttpStream::head_is_unchanged(std::string_view text,
                                   std::span<const std::string_view> names) noexcept {
  if (seen_bytes_ == 0 || text.size() < seen_bytes_) return false;
  if (text.size() >= kMaxRequestHeadBytes) return false;
  const auto fresh = text.substr(seen_bytes_);
  if (!in_fields_) {
    if (std::ranges::any_of(fresh, is_control)) return false;
    seen_bytes_ = static_cast<uint32_t>(text.size());
    return true;
  }
  for (size_t lf = text.find('\n', seen_bytes_); lf != std::string_view::npos;
       lf = text.find('\n', line_start_)) {
    auto line = text.substr(line_start_, lf - line_start_);
    if (!line.ends_with('\r')) return false;
    line.remove_suffix(1);
    HttpFieldLine field;
    if (!parse_http_field(line, field) || is_http_request_field(field.name)) return false;
    if (std::ranges::any_of(
            names, [&](std::string_view name) { return equal_ignoring_case(name, field.name); })) {
      return false;
    }
    line_start_ = static_cast<uint32_t>(lf + 1);
  }
  seen_bytes_ = static_cast<uint32_t>(text.size());
  return true;
}

void HttpStream::note_head(std::string_view text, bool in_target, bool is_http) noexcept {
  seen_bytes_ = is_http || in_target ? static_cast<uint32_t>(text.size()) : 0;
  // What follows that CR says whether the line ends there, so it was not looked at yet.
  if (!is_http && seen_bytes_ != 0 && text.ends_with('\r')) --seen_bytes_;
  in_fields_ = is_http;
  line_start_ = static_cast<uint32_t>(text.rfind('\n') + 1);
}

void HttpStream::allow() noexcept {
  ++requests_;
  answers_.asked(next_body_.of_head);
  seen_bytes_ = 0;
  remaining_bytes_ = next_body_.length_bytes;
  if (next_body_.kind == HttpBody::Kind::none) return end_request();
  phase_ = next_body_.is_unusual ? Phase::body_start : phase_of_body();
}

HttpStream::Phase HttpStream::phase_of_body() const noexcept {
  return next_body_.kind == HttpBody::Kind::length ? Phase::body : Phase::chunk_line;
}

void HttpStream::end_request() noexcept {
  phase_ = next_body_.is_last                      ? Phase::over
           : next_body_.tunnel == HttpTunnel::none ? Phase::head
                                                   : Phase::await_response;
}

void HttpStream::read_server(std::span<const uint8_t> bytes) noexcept {
  while (phase_ != Phase::opaque) {
    const uint16_t code = answers_.next_status(bytes);
    if (code == 0) return;
    // A tunnel is asked for behind the last byte of every other answer.
    if (answers_.waiting() == 1) take_status(code);
  }
}

void HttpStream::take_status(uint16_t status_code) noexcept {
  if (phase_ != Phase::await_response) return;
  constexpr uint16_t kSwitchingProtocols = 101;
  const bool agreed = next_body_.tunnel == HttpTunnel::connect
                          ? status_code >= 200 && status_code < 300
                          : status_code == kSwitchingProtocols;
  if (agreed) {
    phase_ = Phase::opaque;
  } else if (status_code >= 200) {
    phase_ = Phase::head;
  }
}

void HttpStream::pass_body(uint64_t bytes) noexcept {
  remaining_bytes_ -= bytes;
  if (remaining_bytes_ != 0) return;
  if (phase_ == Phase::body) return end_request();
  phase_ = Phase::chunk_end;
}

// What was looked at is not plain body: it may come again only as it was.
void HttpStream::read_body_start(Cursor& at) noexcept {
  const bool chunked = next_body_.kind == HttpBody::Kind::chunked;
  const uint64_t most =
      chunked ? kMaxBodyStartBytes : std::min<uint64_t>(remaining_bytes_, kMaxBodyStartBytes);
  const auto text = at.text().substr(0, most);
  switch (find_request_in_body(text, at.ended || text.size() == most)) {
    case LenientLine::request:
      return at.fail(InspectFault::http_request_in_body);
    case LenientLine::need_more:
      return at.wait();
    case LenientLine::no:
      break;
  }
  phase_ = phase_of_body();
  if (chunked) return;
  at.forward(text.size());
  pass_body(text.size());
}

void HttpStream::read_data(Cursor& at) noexcept {
  const size_t taken = std::min<uint64_t>(remaining_bytes_, at.rest.size());
  at.forward(taken);
  pass_body(taken);
  if (remaining_bytes_ != 0) at.wait();
}

namespace {

// Fields that say where a message ends or whom it is for stand in the head (RFC 9110 section
// 6.5.1); in a trailer section some server may believe them.
bool parse_trailer(std::string_view line) noexcept {
  HttpFieldLine field;
  return parse_http_field(line, field) && !is_http_request_field(field.name);
}

}  // namespace

void HttpStream::read_chunk_line(Cursor& at) noexcept {
  const auto text = at.text().substr(0, kMaxChunkLineBytes);
  // The first byte that may not stand in the line ends it, or breaks it.
  const auto end = std::ranges::find_if(text, [](char c) { return is_control(c) && c != '\t'; });
  const auto line = text.substr(0, static_cast<size_t>(end - text.begin()));
  const auto line_end = text.substr(line.size(), 2);
  if (line_end == "\r\n") {
    if (!parse_chunk_line(line, remaining_bytes_)) return at.fail(InspectFault::http_bad_chunk);
    at.forward(line.size() + 2);
    phase_ = remaining_bytes_ == 0 ? Phase::trailers : Phase::chunk_data;
    return;
  }
  const bool unfinished = line_end.empty() || line_end == "\r";
  if (!unfinished || text.size() == kMaxChunkLineBytes) {
    return at.fail(InspectFault::http_bad_chunk);
  }
  at.wait();
}

void HttpStream::read_chunk_end(Cursor& at) noexcept {
  const auto text = at.text().substr(0, 2);
  if (text == "\r\n") {
    at.forward(2);
    phase_ = Phase::chunk_line;
    return;
  }
  if (!text.empty() && text != "\r") return at.fail(InspectFault::http_bad_chunk);
  at.wait();
}

void HttpStream::read_trailers(Cursor& at) noexcept {
  const auto text = at.text().substr(0, kMaxTrailerBytes);
  for (size_t start = 0;;) {
    const size_t lf = text.find('\n', start);
    if (lf == std::string_view::npos) {
      if (text.size() == kMaxTrailerBytes) return at.fail(InspectFault::http_bad_chunk);
      return at.wait();
    }
    auto line = text.substr(start, lf - start);
    if (!line.ends_with('\r')) return at.fail(InspectFault::http_bad_chunk);
    line.remove_suffix(1);
    start = lf + 1;
    if (line.empty()) {
      at.forward(start);
      return end_request();
    }
    if (!parse_trailer(line)) return at.fail(InspectFault::http_bad_chunk);
  }
}

}  // namespace sallyport
