#pragma once

#include <cstdlib>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "dataplane/inspect/dns_stream.h"
#include "dataplane/inspect/http2_connection.h"
#include "dataplane/inspect/http_stream.h"
#include "dataplane/inspect/identify.h"
#include "dataplane/inspect/packet.h"
#include "tests/support/http_helper.h"

// What a server gets of a client's stream, read again by our parsers alone: without what holds,
// orders, compares and releases segments, which is what this is to catch.
namespace sallyport::test {

inline void require(bool holds) {
  if (!holds) std::abort();
}

/// Takes a stream byte by byte, and says of each whether it was read, or is body and opaque.
class StreamReader {
 public:
  /// @param is_allowed  Whether any policy of the test lets this name out.
  /// @param port        The server's.
  StreamReader(bool (*is_allowed)(std::string_view), uint16_t port)
      : is_allowed_(is_allowed), port_(port) {}

  bool take(uint8_t byte) {
    switch (stage_) {
      case Stage::start:
        return start(byte);
      case Stage::http:
        return feed(*http_, byte);
      case Stage::http2:
        return feed(*http2_, byte);
      case Stage::dns:
        read_dns({byte});
        return true;
      case Stage::opaque:
        break;
    }
    return false;
  }
  /// The server's next bytes, in order: what a tunnel that the client asks for hangs on.
  void answer(std::span<const uint8_t> bytes) {
    if (stage_ != Stage::http) return;
    http_->stream.read_server(bytes);
    if (http_->lost()) stage_ = Stage::opaque;
  }
  void lose_server() {
    if (stage_ != Stage::http) return;
    http_->stream.lose_server();
    if (http_->lost()) stage_ = Stage::opaque;
  }
  /// The next byte may be read.
  bool reads() const { return stage_ != Stage::opaque; }

 private:
  enum class Stage : uint8_t { start, http, http2, dns, opaque };

  struct Http {
    StreamReader& reader;
    HttpStream stream;
    HttpFeeder<Http> feeder{*this};

    HttpStep next(const Bytes& window, bool, HttpRequest& out) {
      return stream.next(window, false, {}, http_scratch(), out);
    }
    void allow(const HttpRequest& request) {
      reader.name(request.host.view());
      stream.allow();
    }
    // A server that is not followed to its answer may have agreed to a tunnel.
    bool lost() const {
      const bool unknown = stream.awaits_response() && !stream.reads_server();
      return stream.opaque() || unknown || feeder.run().over;
    }
  };
  struct Http2 {
    StreamReader& reader;
    Http2Connection stream;
    HttpFeeder<Http2> feeder{*this};

    HttpStep next(const Bytes& window, bool, HttpRequest& out) {
      return stream.next(window, {}, http_scratch(), out);
    }
    void allow(const HttpRequest& request) {
      reader.name(request.host.view());
      stream.allow();
    }
    bool lost() const { return feeder.run().over; }
  };

  template <typename Protocol>
  bool feed(Protocol& protocol, uint8_t byte) {
    if (protocol.stream.body_bytes_left() > 0) {
      protocol.stream.pass_body(1);
      return false;
    }
    protocol.feeder.feed({byte});
    if (protocol.lost()) stage_ = Stage::opaque;
    return true;
  }

  bool start(uint8_t byte) {
    window_.push_back(byte);
    static const auto scratch = std::make_unique<IdentifyScratch>();
    Identified found;
    identify(window_, false, *scratch, found);
    const bool waits = found.status == Identified::Status::need_more;
    if (found.app_known == Known::present) {
      if (found.status == Identified::Status::done) name(found.name.view());
      // Whether another hello is read behind the first hangs on the server.
      if (!waits) stage_ = Stage::opaque;
      return true;
    }
    const Http2Preface preface = find_http2_preface(window_);
    if (waits || preface == Http2Preface::need_more) return true;
    if (preface == Http2Preface::yes) {
      stage_ = Stage::http2;
      http2_.reset(new Http2{*this, {}});
      http2_->feeder.feed(window_);
    } else if (window_[0] <= kMaxDnsQueryBytes >> 8) {
      stage_ = Stage::dns;
      read_dns({});
    } else {
      start_http();
    }
    return true;
  }

  void start_http() {
    stage_ = Stage::http;
    http_.reset(new Http{*this, {}});
    http_->feeder.feed(window_);
    if (http_->lost()) stage_ = Stage::opaque;
  }

  void read_dns(const Bytes& more) {
    append(window_, more);
    DnsQuery query;
    const DnsStep step = dns_.next(window_, false, port_, query);
    switch (step.status) {
      case DnsStep::Status::need_more:
        return;
      case DnsStep::Status::not_dns:
        return start_http();
      case DnsStep::Status::fault:
        stage_ = Stage::opaque;
        return;
      case DnsStep::Status::query:
        name(query.name.view());
        dns_.allow();
        window_.clear();
    }
  }

  void name(std::string_view host) const { require(is_allowed_(host)); }

  bool (*is_allowed_)(std::string_view);
  uint16_t port_;
  Stage stage_ = Stage::start;
  Bytes window_;
  DnsStream dns_;
  std::unique_ptr<Http> http_;
  std::unique_ptr<Http2> http2_;
};

/// One connection's client bytes, as its server may get them. Whichever copy of a byte it believes,
/// of those that came before it acknowledged it: what was read says the same.
class ForwardedStream {
 public:
  /// @param first  Sequence number of the client's first byte.
  /// @param port   The server's.
  ForwardedStream(uint32_t first, bool (*is_allowed)(std::string_view), uint16_t port)
      : first_(first), next_(first), reader_(is_allowed, port) {}

  uint32_t first() const { return first_; }

  void forward(const Packet& packet, std::span<const uint8_t> payload) {
    // It takes a byte out of what the server reads.
    require((packet.tcp_flags & (kUrg | kSyn)) != kUrg || !reader_.reads());
    const uint32_t fin = (packet.tcp_flags & kFin) != 0 ? 1 : 0;
    const auto end = packet.tcp_sequence + static_cast<uint32_t>(payload.size()) + fin;
    if (distance(next_, end) > 0) next_ = end;
    for (size_t i = 0; i < payload.size(); ++i) {
      const int32_t at = distance(first_, packet.tcp_sequence + static_cast<uint32_t>(i));
      if (at < settled_) continue;
      const auto [copy, is_first] = copies_.try_emplace(at, Copy{.value = payload[i]});
      if (!is_first && copy->second.value != payload[i]) {
        copy->second.differs = true;
        require(!copy->second.read);
      }
    }
    for (auto copy = copies_.find(taken_); copy != copies_.end(); copy = copies_.find(taken_)) {
      copy->second.read = reader_.take(copy->second.value);
      require(!copy->second.read || !copy->second.differs);
      ++taken_;
    }
  }

  void acknowledge(uint32_t sequence) {
    if (distance(sequence, next_) < 0) return;  // of what was never sent
    settled_ = std::max(settled_, distance(first_, sequence));
  }

  /// What the server says, from its `first` byte on, if none is missing.
  void start_server(uint32_t first) {
    if (server_next_ == 0) server_next_ = first;
  }
  void answer(const Packet& packet, std::span<const uint8_t> payload) {
    const int32_t old = distance(packet.tcp_sequence, server_next_);
    if (payload.empty() || old >= static_cast<int32_t>(payload.size())) return;
    if (old < 0) return reader_.lose_server();
    const auto fresh = payload.subspan(static_cast<size_t>(old));
    reader_.answer(fresh);
    server_next_ += static_cast<uint32_t>(fresh.size());
  }

  /// A RST that the server believes: at the byte it waits for.
  bool is_reset_by(const Packet& packet) const {
    return packet.tcp_sequence == first_ + static_cast<uint32_t>(taken_);
  }

 private:
  struct Copy {
    uint8_t value;
    bool read = false;
    bool differs = false;
  };

  static int32_t distance(uint32_t from, uint32_t to) { return static_cast<int32_t>(to - from); }

  uint32_t first_;
  uint32_t next_;
  uint32_t server_next_ = 0;
  int32_t settled_ = 0;  ///< The server has what lies before, and takes no other copy.
  int32_t taken_ = 0;    ///< reader_ has what lies before.
  std::map<int32_t, Copy> copies_;
  StreamReader reader_;
};

}  // namespace sallyport::test
