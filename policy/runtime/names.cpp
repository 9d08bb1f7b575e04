#include <algorithm>
#include <array>
#include <bit>
#include <string_view>

#include "policy/runtime/facts.h"
#include "policy/runtime/host_name.h"
#include "policy/runtime/image.h"
#include "policy/runtime/rule.h"
#include "policy/runtime/rule_name.h"
#include "policy/runtime/verdict.h"

namespace sallyport {
namespace {

bool is_lower_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool is_alphanumeric(char c) {
  return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z');
}

}  // namespace

bool is_policy_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= kMaxRuleNameBytes && is_lower_or_digit(name.front()) &&
         is_lower_or_digit(name.back()) &&
         std::ranges::all_of(name, [](char c) { return is_lower_or_digit(c) || c == '-'; });
}

bool is_rule_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= kMaxRuleNameBytes && is_alphanumeric(name.front()) &&
         std::ranges::all_of(
             name, [](char c) { return is_alphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

namespace {

/// The name of an enum's value, from a list in its order.
template <size_t N, typename Enum>
std::string_view name_in(const std::array<std::string_view, N>& names, Enum value) noexcept {
  const auto index = static_cast<size_t>(value);
  return index < N ? names[index] : "";
}

}  // namespace

std::string_view to_string(AppProtocol app) noexcept {
  constexpr std::array<std::string_view, 4> kNames{"tls", "quic", "http", "dns"};
  static_assert(kNames.size() == static_cast<size_t>(AppProtocol::count_));
  return name_in(kNames, app);
}

std::string_view to_string(Verdict verdict) noexcept {
  return name_in(std::array<std::string_view, 3>{"pending", "allow", "deny"}, verdict);
}

std::string_view to_string(Reason reason) noexcept {
  constexpr std::array<std::string_view, 6> kNames{
      "rule", "default_deny", "no_policy", "scan_error", "destination_binding", "budget_exceeded"};
  return name_in(kNames, reason);
}

std::string_view to_string(FactBit fact) noexcept {
  constexpr std::array<std::string_view, kFactBits> kNames{
      "app", "name", "alpns", "ja4", "ech", "method", "path", "headers", "binding", "labels"};
  return name_in(kNames, std::countr_zero(static_cast<unsigned>(fact)));
}

std::string_view to_string(Tier tier) noexcept {
  return name_in(std::array<std::string_view, 3>{"Admin", "Application", "Baseline"}, tier);
}
std::string_view to_string(RuleAction action) noexcept {
  return name_in(std::array<std::string_view, 3>{"Allow", "Deny", "Pass"}, action);
}
std::string_view to_string(PolicyMode mode) noexcept {
  return name_in(std::array<std::string_view, 2>{"enforce", "audit"}, mode);
}
std::string_view to_string(OnDeny on_deny) noexcept {
  return name_in(std::array<std::string_view, 2>{"reset", "drop"}, on_deny);
}
std::string_view to_string(LogLevel log) noexcept {
  return name_in(std::array<std::string_view, 4>{"none", "denies", "decisions", "all"}, log);
}
std::string_view to_string(DestinationBinding binding) noexcept {
  return name_in(std::array<std::string_view, 3>{"off", "audit", "enforce"}, binding);
}
std::string_view to_string(BudgetScope scope) noexcept {
  return name_in(std::array<std::string_view, 3>{"subject", "source", "rule"}, scope);
}
std::string_view to_string(OnExceed on_exceed) noexcept {
  return name_in(std::array<std::string_view, 2>{"deny", "audit"}, on_exceed);
}

std::string_view to_string(HostNameFault fault) noexcept {
  switch (fault) {
    case HostNameFault::none:
      return "";
    case HostNameFault::empty:
      return "the name is empty";
    case HostNameFault::too_long:
      return "the name is over 253 bytes";
    case HostNameFault::bad_label:
      return "a label is empty or over 63 bytes";
    case HostNameFault::bad_byte:
      return "only letters, digits, '-', '_' and '.' may stand in a name";
    case HostNameFault::address_literal:
      return "this is an IP address, not a name";
  }
  return "";
}

namespace {

struct RefusalText {
  Refusal refusal;
  std::string_view name;
  std::string_view sentence;
};

constexpr std::array kRefusals{
    RefusalText{Refusal::none, "none", "Accepted."},
    RefusalText{Refusal::too_short, "too_short",
                "It is shorter than its header; make it anew and send it again."},
    RefusalText{Refusal::too_large, "too_large",
                "It is over the limit of its size; split or trim it."},
    RefusalText{
        Refusal::bad_magic, "bad_magic",
        "This is not what was expected, a policy image or an identity feed that sallyport wrote."},
    RefusalText{Refusal::unsupported_format, "unsupported_format",
                "It was made by another version of sallyport; make it with this one."},
    RefusalText{Refusal::bad_length, "bad_length",
                "It is cut short or has bytes behind its end; make it anew and send it again."},
    RefusalText{Refusal::bad_digest, "bad_digest",
                "It does not match its SHA-256: it was altered; make it anew."},
    RefusalText{Refusal::bad_structure, "bad_structure",
                "Its structure is broken; make it with this version."},
    RefusalText{Refusal::bad_content, "bad_content",
                "A value in it is out of range; make it with this version."},
    RefusalText{
        Refusal::foreign_cpu, "foreign_cpu",
        "The image was compiled for another CPU or Hyperscan version; compile it on this kind "
        "of host."},
    RefusalText{Refusal::no_memory, "no_memory",
                "There was not enough memory to load it; free some and push again."},
    RefusalText{Refusal::bad_frame, "bad_frame",
                "The message was not a well-formed push; use the same version at both ends."},
    RefusalText{
        Refusal::no_descriptor, "no_descriptor",
        "The push must carry exactly one file descriptor; use the same version at both ends."},
    RefusalText{
        Refusal::not_sealed, "not_sealed",
        "The pushed memfd lacks the seals that make it immutable; push with sallyport-control."},
    RefusalText{Refusal::unreadable, "unreadable",
                "The pushed memfd could not be mapped; see the data plane's log."},
    RefusalText{Refusal::not_permitted, "not_permitted",
                "This user may not push; run as the user that owns the control socket."},
    RefusalText{Refusal::not_acknowledged, "not_acknowledged",
                "A worker core did not take the table in time; see 'sallyport status'."},
};

constexpr bool in_enum_order() {
  for (size_t i = 0; i < kRefusals.size(); ++i) {
    if (static_cast<size_t>(kRefusals[i].refusal) != i) return false;
  }
  return kRefusals.back().refusal == Refusal::not_acknowledged;
}
static_assert(in_enum_order());

}  // namespace

std::string_view to_string(Refusal refusal) noexcept {
  const auto index = static_cast<size_t>(refusal);
  return index < kRefusals.size() ? kRefusals[index].name : "unknown";
}

std::string_view explain(Refusal refusal) noexcept {
  const auto index = static_cast<size_t>(refusal);
  return index < kRefusals.size() ? kRefusals[index].sentence
                                  : "Refused for a reason that this version does not know.";
}

}  // namespace sallyport
