#include "dataplane/inspect/http_record.h"

#include <algorithm>

#include "dataplane/inspect/http_text.h"

namespace sallyport {
namespace {

std::string_view take_line(std::string_view& text) noexcept {
  const auto line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
}

void read_request_line(std::string_view line, HttpRequest& out) noexcept {
  const auto method = line.substr(0, line.find_first_of(" \t"));
  line.remove_prefix(std::min(line.size(), method.size() + 1));
  if (out.method.empty()) out.method = method;
  if (out.target.empty()) out.target = trim_http_space(line.substr(0, line.rfind(" HTTP/")));
}

}  // namespace

void guess_http_record(std::string_view head, HttpRequest& out) noexcept {
  head = head.substr(0, kMaxRequestHeadBytes);
  head.remove_prefix(std::min(head.find_first_not_of("\r\n"), head.size()));
  read_request_line(take_line(head), out);
  while (out.authority.empty() && !head.empty()) {
    const auto line = take_line(head);
    if (line.empty()) return;
    constexpr std::string_view kHost = "host";
    if (!equal_ignoring_case(line.substr(0, kHost.size()), kHost)) continue;
    const auto rest = trim_http_space(line.substr(kHost.size()));
    if (rest.starts_with(':')) out.authority = trim_http_space(rest.substr(1));
  }
}

}  // namespace sallyport
