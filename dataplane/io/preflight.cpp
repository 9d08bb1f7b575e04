#include "dataplane/io/preflight.h"

namespace sallyport {
namespace {

std::string with_effect(const ExceptionInfo& info, ExceptionAction action) {
  std::string text = std::string(info.name) + ": " + std::string(to_string(action));
  return text + " (" + std::string(info.help.substr(0, info.help.size() - 1)) + ")";
}

void add_open_settings(const GatewayConfig& config, std::vector<Preflight>& out) {
  if (config.pass_inbound_flows) {
    out.push_back({true,
                   "fails open: inbound_flows: pass (flows that are opened from outside pass "
                   "unread, and so do the answers to them)"});
  }
  if (config.pass_http2_opening) {
    out.push_back({true,
                   "fails open: inspection.http2_opening: pass (the opening of HTTP/2 without "
                   "TLS leaves before its first request is decided)"});
  }
}

}  // namespace

std::vector<Preflight> preflight(const GatewayConfig& config, bool has_policy) {
  std::vector<Preflight> out;
  std::string closed;
  for (const ExceptionInfo& info : kExceptionInfo) {
    const ExceptionAction action = config.exceptions[info.id];
    if (action != ExceptionAction::pass_flow) {
      closed += (closed.empty() ? "" : ", ") + std::string(info.name) + " " +
                std::string(to_string(action));
      continue;
    }
    const bool midstream = info.id == Exception::midstream;
    out.push_back(
        {true,
         "fails open: exceptions." + with_effect(info, action) +
             (midstream ? ", for " + std::to_string(config.midstream_grace_seconds) + " s from now"
                        : "")});
  }
  add_open_settings(config, out);
  out.push_back({false, "fails closed: " + closed});
  out.push_back({false, has_policy
                            ? "the last good policy is enforced from the first packet on"
                            : "no policy is stored: everything is denied until one is pushed"});
  if (config.resolvers.empty()) {
    out.push_back({false,
                   "binding.resolvers is empty: rules with destinationBinding: enforce deny "
                   "every flow"});
  }
  return out;
}

}  // namespace sallyport
