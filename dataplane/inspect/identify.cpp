#include "dataplane/inspect/identify.h"

#include "dataplane/inspect/tls_client_hello.h"
#include "dataplane/inspect/tls_record.h"

namespace sallyport {
namespace {

using Status = Identified::Status;

void set_fault(InspectFault fault, Identified& out) noexcept {
  out.status = Status::fault;
  out.fault = fault;
  out.name.clear();  // a hello may have named a host before its fault
}

void set_app(AppProtocol app, Identified& out) noexcept {
  out.app_known = Known::present;
  out.app = app;
}

void set_absent(Identified& out) noexcept {
  out.status = Status::done;
  out.app_known = Known::absent;
  out.name_known = Known::absent;
}

void set_named(Identified& out) noexcept {
  out.status = Status::done;
  out.name_known = out.name.empty() ? Known::absent : Known::present;
}

void need(size_t bytes, Identified& out) noexcept {
  out.status = Status::need_more;
  out.need_bytes = static_cast<uint32_t>(bytes);
}

// All but `hello`, which whoever parses one writes anew.
void clear(Identified& out) noexcept {
  out.status = Status::need_more;
  out.fault = InspectFault::none;
  out.app_known = Known::unknown;
  out.app = {};
  out.name_known = Known::unknown;
  out.need_bytes = 0;
  out.hello_end = 0;
  out.name.clear();
}

void identify_tls(std::span<const uint8_t> prefix, bool ended, IdentifyScratch& scratch,
                  Identified& out) noexcept {
  set_app(AppProtocol::tls, out);
  const FramedHello framed = frame_client_hello(prefix, scratch);
  if (framed.status == Status::fault) return set_fault(framed.fault, out);
  if (framed.status == Status::need_more) {
    if (ended) return set_fault(InspectFault::tls_truncated, out);
    return need(framed.need_bytes, out);
  }
  const InspectFault fault = parse_client_hello(framed.body, out.hello, out.name);
  if (fault != InspectFault::none) return set_fault(fault, out);
  out.hello_end = static_cast<uint32_t>(framed.end);
  set_named(out);
}

}  // namespace

void identify(std::span<const uint8_t> prefix, bool ended, IdentifyScratch& scratch,
              Identified& out) noexcept {
  clear(out);
  if (starts_like_tls(prefix)) return identify_tls(prefix, ended, scratch, out);
  const bool undecided = prefix.empty() || (prefix.size() == 1 && is_tls_content_type(prefix[0]));
  if (undecided && !ended) return need(prefix.size() + 1, out);
  set_absent(out);
}

}  // namespace sallyport
