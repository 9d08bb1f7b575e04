#include "control/cli/flow_filter.h"

#include <algorithm>
#include <charconv>

#include "policy/compile/domain_name.h"
#include "policy/runtime/host_name.h"
#include "policy/runtime/rule_name.h"
#include "policy/yaml/printable.h"

namespace sallyport {
namespace {

using Problem = std::unexpected<std::string>;

std::expected<IpPrefix, std::string> block_of(const std::string& option, const std::string& text) {
  const auto block = parse_ip_prefix(text);
  if (block) return *block;
  const std::string start = option + " '" + wire_text(text) + "': ";
  switch (block.error()) {
    case IpParseError::host_bits_set:
      return Problem(start + "bits right of the prefix are set; write " +
                     to_string(parse_ip_prefix_clearing(text).value_or(IpPrefix{})));
    case IpParseError::bad_prefix_length:
      return Problem(start + "the prefix length is not 0 to 32, or to 128 of IPv6");
    case IpParseError::bad_address:
      break;
  }
  return Problem(start + "is neither an address nor a block; write it like 10.1.0.0/16");
}

std::expected<DomainPattern, std::string> host_of(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  auto pattern = parse_domain_pattern(text);
  if (pattern) return std::move(*pattern);
  const ValueError& error = pattern.error();
  // An address is no name, and has an option of its own.
  const std::string hint = error.code == "E017" ? "give an address with --dst" : error.hint;
  return Problem("--host: " + printable(error.message) + (hint.empty() ? "" : "; " + hint));
}

std::expected<LoggedEvent, std::string> event_of(const std::string& text) {
  if (text == "start") return LoggedEvent::start;
  if (text == "verdict") return LoggedEvent::verdict;
  if (text == "request") return LoggedEvent::request;
  // As it is called on the command line, and as it stands in the log.
  if (text == "end" || text == "flow") return LoggedEvent::end;
  if (text == "gap") return LoggedEvent::gap;
  return Problem("--event '" + wire_text(text) +
                 "': there is no such event; write start, verdict, request, end or gap");
}

bool covers(const IpPrefix& block, const std::string& address) {
  const auto parsed = parse_ip_address(address);
  return parsed && contains(block, *parsed);
}

}  // namespace

std::expected<FlowFilter, std::string> FlowFilter::make(const FlowOptions& options) {
  FlowFilter out;
  out.denied_ = options.denied;
  if (options.rule) {
    const std::string& text = *options.rule;
    const size_t slash = text.find('/');
    out.policy_ = slash == std::string::npos ? "" : text.substr(0, slash);
    out.rule_ = slash == std::string::npos ? text : text.substr(slash + 1);
    out.any_rule_ = slash != std::string::npos && out.rule_ == "*";
    const bool good = (slash == std::string::npos || is_policy_name(out.policy_)) &&
                      (out.any_rule_ || is_rule_name(out.rule_));
    if (!good) {
      return Problem("--rule '" + wire_text(text) +
                     "': is not the name of a rule; write RULE, POLICY/RULE, POLICY/*, or "
                     "default_deny for what no rule decided");
    }
  }
  if (options.host) {
    auto host = host_of(*options.host);
    if (!host) return Problem(std::move(host.error()));
    out.host_ = std::move(*host);
  }
  for (const auto& [option, text, block] :
       {std::tuple{"--src", &options.src, &out.src_}, {"--dst", &options.dst, &out.dst_}}) {
    if (!*text) continue;
    const auto read = block_of(option, text->value());
    if (!read) return Problem(read.error());
    *block = *read;
  }
  for (const std::string& one : options.events) {
    const auto event = event_of(one);
    if (!event) return Problem(event.error());
    out.events_.push_back(*event);
  }
  if (options.id) {
    uint64_t id = 0;
    const char* end = options.id->data() + options.id->size();
    const auto read = std::from_chars(options.id->data(), end, id);
    if (read.ec != std::errc{} || read.ptr != end) {
      return Problem("--id '" + wire_text(*options.id) +
                     "': is not the id of a flow; it is the number behind \"flow:\" in a 403, or "
                     "flow_id in the log");
    }
    out.id_ = id;
    out.id_text_ = std::to_string(id);
  }
  return out;
}

bool FlowFilter::could_match(std::string_view line) const {
  if (id_) return line.contains(id_text_);
  if (!denied_) return true;
  return line.contains("\"deny\"") || line.contains("true") || line.contains("\"gap\"");
}

bool FlowFilter::matches(const LoggedRecord& record) const {
  const bool event_asked = std::ranges::find(events_, record.event) != events_.end();
  if (!events_.empty() && !event_asked) return false;
  if (record.event == LoggedEvent::gap) return event_asked || !id_;
  if (id_ && record.flow_id != *id_) return false;
  if (denied_ && !record.denied()) return false;
  if (src_ && !covers(*src_, record.src_ip)) return false;
  if (dst_ && !covers(*dst_, record.dest_ip)) return false;
  return matches_rule(record) && matches_host(record);
}

bool FlowFilter::matches_rule(const LoggedRecord& record) const {
  if (!policy_.empty() && record.policy != policy_) return false;
  if (any_rule_) return true;
  if (record.rule.empty()) return policy_.empty() && record.reason == rule_;
  return record.rule == rule_;
}

bool FlowFilter::matches_host(const LoggedRecord& record) const {
  if (!host_) return true;
  HostName name;
  if (name.assign(record.name) != HostNameFault::none) return false;
  const std::string_view text = name.view();
  if (!host_->wildcard) return text == host_->name;
  return text.size() > host_->name.size() + 1 && text.ends_with(host_->name) &&
         text[text.size() - host_->name.size() - 1] == '.';
}

}  // namespace sallyport
