#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "dataplane/inspect/hpack.h"
#include "dataplane/inspect/http_facts.h"
#include "dataplane/inspect/http_host.h"
#include "dataplane/inspect/identify.h"

namespace sallyport {

/// One header section of HTTP/2, field by field (RFC 9113 section 8): a request, or trailers.
class Http2RequestReader {
 public:
  /// @param out  Overwritten; its texts stand in `scratch`.
  Http2RequestReader(std::span<const std::string_view> header_names, HttpScratch& scratch,
                     HttpRequest& out) noexcept;

  /// @return  none, http2_headers_too_long, http2_bad_pseudo_header, http2_bad_field,
  /// http_bad_host,
  ///          http_bad_length, http_upgrade_refused or http_many_fields.
  [[nodiscard]] InspectFault take(const HpackField& field) noexcept;

  /// Behind the last field of a request.
  /// @return  none, http2_bad_pseudo_header, http_bad_host, http_host_conflict or http_bad_path.
  [[nodiscard]] InspectFault finish() noexcept;

  /// What is known of a request that is at fault, for records.
  void record() noexcept;

  /// Behind the last field of trailers (RFC 9113 section 8.1).
  [[nodiscard]] InspectFault finish_trailers() const noexcept;

 private:
  InspectFault take_pseudo(std::string_view name, std::string_view value) noexcept;
  InspectFault take_named(std::string_view name, std::string_view value) noexcept;
  InspectFault finish_target() noexcept;
  InspectFault finish_authority() noexcept;
  std::string_view keep(std::string_view text) noexcept;

  /// A pseudo-header; `seen` because its value may be empty.
  struct Pseudo {
    std::string_view value;
    bool seen = false;
  };

  HttpScratch& scratch_;
  HttpRequest& out_;
  HttpHeaderSink sink_;
  Pseudo method_, scheme_, path_, authority_, protocol_;
  HttpHost host_;
  std::string_view host_text_;
  size_t list_bytes_ = 0;
  size_t kept_bytes_ = 0;
  bool host_seen_ = false;
  bool length_seen_ = false;
  bool fields_seen_ = false;  ///< Pseudo-headers may not follow.
};

}  // namespace sallyport
