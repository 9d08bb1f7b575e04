#include <algorithm>

#include "policy/compile/region.h"

namespace sallyport {
namespace {

constexpr uint8_t kSomeOtherProtocol = 47;  // GRE
/// What the search for a path may cost, and that for headers.
constexpr uint64_t kMaxSampleWork = 400'000;

class Sampler {
 public:
  Sampler(RegionSplitter& splitter, const Region& region) : splitter_(splitter), region_(region) {}

  SampleFlow sample() {
    choose_name();
    choose_addresses();
    choose_l4();
    const auto time = keys(Axis::time, {});
    out_.unix_seconds = seconds_of(time.empty() ? RegionKey{} : time[0].first);
    choose_facts();
    out_.bound = region_.bound.value_or(true);
    return std::move(out_);
  }

 private:
  /// What the region allows on an axis, of what the choices so far leave possible.
  Intervals keys(Axis axis, const RegionContext& context) const {
    const Intervals all = splitter_.domain(axis, context);
    const auto found = region_.keys.find(axis);
    return found == region_.keys.end() ? all : intersect(all, found->second);
  }

  std::vector<std::pair<uint32_t, bool>> decided(Axis axis) const {
    std::vector<std::pair<uint32_t, bool>> out;
    for (const auto& answer : region_.answers) {
      if (answer.axis == axis) out.emplace_back(answer.predicate, answer.yes);
    }
    return out;
  }

  void choose_name() {
    const auto found = region_.keys.find(Axis::name);
    if (found == region_.keys.end()) return;
    const auto answers = decided(Axis::regex);
    for (const Interval& one : found->second) {
      for (RegionKey atom = one.first; atom <= one.last; ++atom) {
        if (atom == kNoName) {
          out_.name.clear();
          return;
        }
        if (splitter_.name_of(atom, answers, out_.name)) {
          context_.named = true;
          return;
        }
      }
    }
  }

  /// `liked` where it is one of them, or else the first that looks like a host's.
  static IpAddress readable(const Intervals& addresses, const char* liked) {
    const IpAddress address = parse_ip_address(liked).value();
    if (contains(addresses, region_key(address))) return address;
    const Interval& first = addresses[0];
    return region_address(first.last - first.first > 1 ? first.first + 1 : first.first);
  }

  void choose_addresses() {
    const Intervals destination = keys(Axis::destination, {});
    // The first of IPv4 where there is one: more readable than ::.
    const Intervals v4 = intersect(destination, v4_addresses());
    for (const bool four : {true, false}) {
      RegionContext family;
      family.v4 = four;
      family.v6 = !four;
      const Intervals to = four ? v4 : intersect(destination, v6_addresses());
      const Intervals from = keys(Axis::source, family);
      if (to.empty() || from.empty()) continue;
      out_.destination = readable(to, four ? "203.0.113.9" : "2001:db8::9");
      out_.source = readable(from, four ? "10.1.2.3" : "fd00:1::3");
      return;
    }
  }

  void choose_l4() {
    struct Choice {
      Transport transport;
      RegionKey base;
      uint8_t protocol;
    };
    constexpr Choice kChoices[] = {{Transport::tcp, 0, kIpProtocolTcp},
                                   {Transport::udp, kFirstUdp, kIpProtocolUdp},
                                   {Transport::none, kIcmpKey, kIpProtocolIcmp},
                                   {Transport::none, kOtherL4Key, kSomeOtherProtocol}};
    const Intervals all = keys(Axis::l4, context_);
    for (const Choice& choice : kChoices) {
      const bool ports = choice.transport != Transport::none;
      const Intervals here =
          intersect(all, {{choice.base, choice.base + (ports ? UINT16_MAX : 0)}});
      context_.transport = choice.transport;
      const Intervals apps = keys(Axis::app, context_);
      if (here.empty() || apps.empty()) continue;
      out_.ip_protocol = choice.protocol;
      const bool icmp6 = choice.base == kIcmpKey && !out_.destination.is_v4();
      if (icmp6) out_.ip_protocol = kIpProtocolIcmpV6;
      if (ports) out_.destination_port = static_cast<uint16_t>(here[0].first - choice.base);
      choose_app(static_cast<AppKey>(apps[0].first));
      return;
    }
  }

  void choose_app(AppKey key) {
    switch (key) {
      case kTlsApp:
        out_.app = AppProtocol::tls;
        break;
      case kHttpApp:
        out_.app = AppProtocol::http;
        break;
      case kDnsApp:
        out_.app = AppProtocol::dns;
        break;
      case kQuicApp:
        out_.app = AppProtocol::quic;
        break;
      case kNoApp:
        break;
    }
  }

  void choose_facts() {
    using Can = bool (*)(const Answers&, SampleFlow&);
    constexpr std::pair<Axis, Can> kFacts[] = {{Axis::labels, labels_can},
                                               {Axis::alpn, alpns_can},
                                               {Axis::ja4, ja4_can},
                                               {Axis::ech, ech_can},
                                               {Axis::method, method_can}};
    for (const auto& [axis, can] : kFacts) {
      static_cast<void>(can(splitter_.answers_of(axis, decided(axis)), out_));
    }
    uint64_t work = kMaxSampleWork;
    static_cast<void>(path_can(splitter_.answers_of(Axis::path, decided(Axis::path)), out_, work));
    work = kMaxSampleWork;
    static_cast<void>(
        headers_can(splitter_.answers_of(Axis::headers, decided(Axis::headers)), out_, work));
  }

  RegionSplitter& splitter_;
  const Region& region_;
  RegionContext context_;
  SampleFlow out_;
};

}  // namespace

SampleFlow sample_of(RegionSplitter& splitter, const Region& region) {
  return Sampler(splitter, region).sample();
}

}  // namespace sallyport
