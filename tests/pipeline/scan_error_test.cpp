// What a failed scan lets pass, where scan_error is pass-flow: nothing that needs no scan to be
// denied.
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

/// Asks for a field of good.test. `first` is a rule in front.
std::string policy(const std::string& first = "") {
  return "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  egress:\n" +
         first +
         "    - {name: team, action: Allow, to: {domainNames: [good.test]},\n"
         "       protocols: [{http: {headers: {x-team: \"red*\"}}}]}\n";
}
std::string deny(const std::string& what) {
  return "    - {name: first, action: Deny, " + what + "}\n";
}

/// With a body of nine bytes that are not sent yet, and a field that is longer than what is
/// scanned.
const Bytes kUpload =
    bytes_of("PUT / HTTP/1.1\r\nHost: denied.test\r\nContent-Length: 9\r\nX-Team: " +
             std::string(30'000, 'x') + "\r\n\r\n");

/// Under pass-flow, with one connection that has sent its upload's head.
struct Uploading {
  Pipeline pipeline;
  Conversation flow{.pipeline = pipeline, .server_port = 80};
  size_t sent = 0;
  Bytes left;

  explicit Uploading(const std::string& under) : pipeline(under, options()) {
    flow.open();
    for (size_t at = 0; at < kUpload.size(); at += 1400) {
      send(Bytes(
          kUpload.begin() + static_cast<std::ptrdiff_t>(at),
          kUpload.begin() + static_cast<std::ptrdiff_t>(std::min(at + 1400, kUpload.size()))));
    }
    left = pipeline.payload_to_outside();
  }
  static Pipeline::Options options() {
    Pipeline::Options out;
    REQUIRE(out.stage.limits.exceptions.set(Exception::scan_error, ExceptionAction::pass_flow));
    return out;
  }
  void send(const Bytes& bytes) {
    pipeline.from_inside(flow.out(sent).payload(bytes).frame());
    sent += bytes.size();
  }
  /// @return whether a third of the body left.
  bool goes_on() {
    send(bytes_of("abc"));
    return pipeline.payload_to_outside() == bytes_of("abc");
  }
};

}  // namespace

TEST_CASE("a live flow that could not be scanned ends when its address is denied", "[exception]") {
  Uploading upload(policy());
  CHECK(upload.left == kUpload);
  auto events = upload.pipeline.events();
  REQUIRE(events.size() == 1);
  CHECK(events.front().state == FlowState::allowed);
  CHECK(events.front().reason == FlowReason::scan_error);

  upload.pipeline.push(policy(deny("to: {cidrs: [198.19.9.9/32]}")));
  CHECK(upload.goes_on());
  CHECK(upload.pipeline.events().empty());
  upload.pipeline.push(policy(deny("to: {cidrs: [198.19.0.2/32]}")));
  CHECK_FALSE(upload.goes_on());
  events = upload.pipeline.events();
  REQUIRE(events.size() == 1);
  CHECK(events.front().state == FlowState::denied);
  CHECK(events.front().reason == FlowReason::rule);
}

TEST_CASE("a protocol that is denied does not pass for want of a scan", "[exception]") {
  Uploading upload(policy(deny("protocols: [{http: {}}]")));
  CHECK(upload.left.empty());
  CHECK(upload.pipeline.events().back().reason == FlowReason::rule);
}

TEST_CASE("a failed scan is about one request: the next is decided by its name", "[exception]") {
  Uploading upload(policy());
  for (int i = 0; i < 3; ++i) CHECK(upload.goes_on());
  upload.send(request("denied.test"));
  CHECK(upload.pipeline.payload_to_outside().empty());
  CHECK(upload.pipeline.events().back().reason == FlowReason::default_deny);
}
